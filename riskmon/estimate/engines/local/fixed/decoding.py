"""How the networks of an engine decode: as they come, in recorded steps, or in compiled ones.

- eager: shapes change from step to step (`engines/local/strands.py`). Nothing is padded; every kernel is launched from
  Python.
- graphs: steps of fixed shapes (`strands.py`), on CUDA recorded once and replayed (`replay.py`).
- compiled: the same, put through torch.compile first.

Arenas and recordings are kept from one batch to the next: prompts differ, shapes hardly.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import nn

from riskmon.estimate.engines.local.fixed.arena import Arena, Shape
from riskmon.estimate.engines.local.fixed.attention import fixed_attention
from riskmon.estimate.engines.local.fixed.replay import CudaGraphs, Recorder, Replays
from riskmon.estimate.engines.local.fixed.step import run_step
from riskmon.estimate.engines.local.fixed.strands import FixedStrands
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.engines.local.strands import Strands

log = logging.getLogger(__name__)

_MOST_SHAPES = 128

Way = Literal["eager", "graphs", "compiled"]


@dataclass(eq=False)
class _Room:
    """What one network decodes in."""

    replays: Replays | None
    arena: Arena | None = field(default=None)

    def open(self, like: Prefix, shape: Shape) -> Arena:
        """The arena, grown to a shape."""
        if self.arena is None:
            self.arena = Arena(like, shape)
        else:
            self.arena.make_room(shape)
        return self.arena


class Decoding:
    """Opens strands for networks, and keeps what may serve again.

    Attributes:
        way: how steps are taken.
    """

    def __init__(self, way: Way, device: torch.device, recorder: Recorder | None = None) -> None:
        """Begin without networks.

        Args:
            recorder: records steps; None takes CUDA's where there is one.
        """
        self.way = way
        if recorder is None and device.type == "cuda" and way != "eager":
            recorder = CudaGraphs(device)
        self._recorder = recorder
        self._step: Callable[[nn.Module, Arena, Shape], None] = run_step
        if way == "compiled":
            self._step = _Compiled()
        self._rooms: dict[str, _Room] = {}

    @property
    def fixed(self) -> bool:
        """Whether steps have fixed shapes."""
        return self.way != "eager"

    @property
    def nbytes(self) -> int:
        """Memory of all arenas."""
        return sum(room.arena.nbytes for room in self._rooms.values() if room.arena is not None)

    def open(self, network: str, room: int) -> Strands | FixedStrands:
        """Strands of a network that have no rows yet; those opened for it before are over.

        Args:
            room: tokens that will be run behind a context; more may be.
        """
        if not self.fixed:
            return Strands(room)
        if network not in self._rooms:
            self._rooms[network] = _Room(None if self._recorder is None else Replays(self._recorder))
        own = self._rooms[network]
        return FixedStrands(own.open, partial(self._run, own.replays), room)

    def release(self) -> None:
        """Give back all memory; strands that were opened are over."""
        self._rooms.clear()

    def _run(self, replays: Replays | None, module: nn.Module, arena: Arena, shape: Shape) -> None:
        step = partial(self._step, module, arena, shape)
        with fixed_attention(module):
            if replays is None:
                step()
            else:
                replays.run(shape, arena.version, step, arena.logits[: shape.slots])


class _Compiled:
    """A step through torch.compile; as it is where that fails, which the log says once."""

    def __init__(self) -> None:
        self._compiled: Any = torch.compile(run_step, fullgraph=True, dynamic=False)

    def __call__(self, module: nn.Module, arena: Arena, shape: Shape) -> None:
        if self._compiled is not None:
            try:
                # Each shape is a compilation of its own; dynamo gives up after eight where nobody says otherwise.
                with torch._dynamo.config.patch(recompile_limit=_MOST_SHAPES):
                    self._compiled(module, arena, shape)
                return
            except torch._dynamo.exc.TorchDynamoException as exc:
                log.warning("decoding steps are not compiled (%s): they run as they are", type(exc).__name__)
                self._compiled = None
        run_step(module, arena, shape)


def decoding_for(wanted: Literal["auto"] | Way, device: torch.device) -> Decoding:
    """The decoding that a configuration means: `auto` records where steps can be recorded."""
    if wanted == "auto":
        wanted = "graphs" if device.type == "cuda" else "eager"
    return Decoding(wanted, device)
