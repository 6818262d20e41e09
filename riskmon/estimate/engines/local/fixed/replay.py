"""Recorded steps: the first step of a shape is recorded, later ones are replayed.

A replay launches a step's kernels without any Python between them; a decoding step of a few hundred rows is otherwise
bound by launching them. A recording is over given addresses and given numbers, which is why steps have fixed shapes.
Before a recording is used its first replay must give what the ordinary step gave. Where that fails, or the step cannot
be recorded, steps run as they are, and the log says so once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from riskmon.estimate.engines.local.fixed.arena import Shape

log = logging.getLogger(__name__)

Step = Callable[[], None]


class Recorder(Protocol):
    """What turns a step into something that can be run again."""

    def record(self, step: Step) -> Step:
        """A step's kernels on the addresses that they use now.

        Raises:
            RuntimeError: it cannot be recorded.
        """


class CudaGraphs:
    """Records CUDA graphs; all of them share one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # Nothing of a step stays in the pool behind it, so graphs may use it in any order.
        self._pool = torch.cuda.graph_pool_handle()
        self._aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def record(self, step: Step) -> Step:
        """As `Recorder.record`."""
        # Libraries set themselves up at their first use on a stream, which must not be part of the recording.
        self._aside.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._aside):
            step()
        torch.cuda.current_stream(self._device).wait_stream(self._aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._aside):
            step()
        replay: Step = graph.replay
        return replay


class Replays:
    """One network's recorded steps.

    Attributes:
        refused: whether steps run as they are, because a recording failed.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._recorded: dict[Shape, Step] = {}
        self._version = 0
        self.refused = False

    def __len__(self) -> int:
        return len(self._recorded)

    def run(self, shape: Shape, version: int, step: Step, output: Tensor) -> None:
        """Take one step.

        Args:
            version: of the buffers; recordings over others are dropped.
            step: takes it in the ordinary way. output: what a step leaves.
        """
        if version != self._version:
            self._recorded.clear()
            self._version = version
        if shape in self._recorded:
            self._recorded[shape]()
            return
        step()
        if not self.refused:
            self._record(shape, step, output)

    def _record(self, shape: Shape, step: Step, output: Tensor) -> None:
        expected = output.clone()
        try:
            replay = self._recorder.record(step)
            output.zero_()
            replay()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as exc:
            self._refuse(f"{type(exc).__name__} while recording", output, expected)
            return
        wrong = float((output.float() - expected.float()).abs().max())
        # What is no number stays for those who look at log-probs: a comparison with it is never true.
        if wrong > torch.finfo(output.dtype).eps ** 0.5 * float(expected.float().abs().max()):
            self._refuse(f"a replay's logits differ by {wrong:.2g}", output, expected)
            return
        self._recorded[shape] = replay

    def _refuse(self, why: str, output: Tensor, expected: Tensor) -> None:
        output.copy_(expected)
        self._recorded.clear()
        self.refused = True
        log.warning("decoding steps are not recorded (%s): they run as they are, which is slower", why)
