"""A recorder for machines without a GPU that keeps what a CUDA graph keeps: kernels, numbers and addresses.

Every torch operation of a step is written down with its arguments as they are; a replay runs them again, with the
tensors that were there before the step in place, and those the step made made anew. What Python computed in between is
baked in. As on CUDA, reading a tensor back to the host while recording is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

_TO_HOST = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select")

Step = Callable[[], None]


class _Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in _TO_HOST:
            raise RuntimeError("operation not permitted while recording")
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out


class TapeRecorder:
    """Records on the CPU.

    Attributes:
        recordings, replays: how often each happened. fault: raised instead of recording, where there is one.
            spoil: adds to what replays leave in the last tensor that was written.
    """

    def __init__(self, fault: Exception | None = None, spoil: float = 0.0) -> None:
        self.recordings = self.replays = 0
        self.fault, self.spoil = fault, spoil

    def record(self, step: Step) -> Step:
        """As `CudaGraphs.record`."""
        if self.fault is not None:
            raise self.fault
        with _Tape() as tape:
            step()
        self.recordings += 1
        return lambda: self._replay(tape.calls)

    def _replay(self, calls: list[tuple[Any, Any, Any, Any]]) -> None:
        self.replays += 1
        made: dict[int, torch.Tensor] = {}

        def now(value: Any) -> Any:
            return made.get(id(value), value) if isinstance(value, torch.Tensor) else value

        for func, args, kwargs, out in calls:
            again = func(*tree_map(now, args), **tree_map(now, kwargs))
            if isinstance(out, torch.Tensor):
                out, again = (out,), (again,)
            for before, after in zip(out or (), again or (), strict=True):
                if isinstance(before, torch.Tensor):
                    made[id(before)] = after
        if self.spoil:
            assert isinstance(after, torch.Tensor)
            after.add_(self.spoil)
