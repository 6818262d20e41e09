"""The clock of device work: one per session, running while networks run.

Whatever uses the device does so inside `working`: draws, scores, the networks of judges. Between two steps it calls
`give_way`, where work rests while others need the device (`sharing/`). So at any time

    seconds + paused = time spent inside `working`, and before it for others

and every cost that is stated elsewhere, of a prompt's draws or of its verdicts, is a difference of two readings. What
no estimate states (a prompt that failed, the choice of plans, responses of production) is in `seconds` all the same.

Not counted: waiting for a judge behind an endpoint; judges on the CPU beside a model on a GPU; reading weights from
disk. Kernels of CUDA run on after they were asked for, so they are waited for whenever the clock is read or stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch


class Gate(Protocol):
    """Says when work must rest."""

    def closed(self, rested: float) -> bool:
        """Whether to rest now; asked at every step of work, so it must be cheap.

        Args:
            rested: seconds since this process last worked the device; 0 while it does.
        """

    def wait(self, rested: float, tell: Callable[[], None]) -> None:
        """Return when work may go on; called at rest.

        Args:
            rested: as in `closed`. tell: called again and again meanwhile.
        """


def _nothing() -> None:
    """The CPU has done what it was asked for."""


class Meter:
    """Counts device time and time given up to others.

    Args:
        device: kind of the device that the model runs on, such as `cuda`; beside a GPU, work on the CPU is not counted.
        settle: waits for what the device was asked for.
        gate: None never rests.
        now: clock in seconds.

    Attributes:
        gate: in front of the device.
        tell: called again and again while work rests.
    """

    def __init__(
        self,
        device: str = "cpu",
        settle: Callable[[], None] = _nothing,
        gate: Gate | None = None,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._device = device
        self._settle = settle
        self.gate = gate
        self.tell = _nothing
        self._now = now
        self._seconds = 0.0
        self._paused = 0.0
        self._depth = 0
        self._since: float | None = None  # None while the clock stands
        self._resting_since: float | None = None
        self._stopped_at = float("-inf")

    @classmethod
    def on(cls, device: torch.device) -> Meter:
        """The clock of a torch device."""
        if device.type != "cuda":
            return cls(device.type)
        import torch

        return cls(device.type, lambda: torch.cuda.synchronize(device))

    @property
    def seconds(self) -> float:
        """Device time so far, pauses apart; work under way is waited for."""
        if self._since is None:
            return self._seconds
        self._settle()
        return self._seconds + self._now() - self._since

    @property
    def paused(self) -> float:
        """Seconds that work has rested for others, up to now."""
        return self._paused + (0.0 if self._resting_since is None else self._now() - self._resting_since)

    def beside(self, device: str) -> Meter:
        """The clock for work on another device: this one, or one of its own that nobody reads."""
        return self if device != "cpu" or self._device == "cpu" else Meter()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Count the time inside; blocks may be nested, and count once."""
        if self._depth == 0:
            self.give_way()
            self._since = self._now()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self._stop()

    def give_way(self) -> None:
        """Rest while others need the device; called between steps of work, where nothing is half done."""
        if self.gate is None or not self.gate.closed(self._rested()):
            return
        running = self._since is not None
        if running:
            self._stop()
        self._resting_since = self._now()
        try:
            self.gate.wait(self._rested(), self.tell)
        finally:
            ended = self._now()
            self._paused += ended - self._resting_since
            self._resting_since = None
            if running:
                self._since = ended

    def _stop(self) -> None:
        try:
            self._seconds = self.seconds
        finally:
            self._since = None
            self._stopped_at = self._now()

    def _rested(self) -> float:
        return 0.0 if self._since is not None else self._now() - self._stopped_at
