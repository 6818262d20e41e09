"""What one device has cost, over all its lives: it counts from zero whenever its model is loaded anew."""

from __future__ import annotations

import time
from collections.abc import Callable

from riskmon.devices.answering import Answer, Pulse


class Tally:
    """Adds up what a device says of itself.

    A device that is lost no longer says what its last work took, so the time since its last word counts as worked.

    Attributes:
        device_seconds, paused_seconds: in all.
        at_once: prompts that it is worth asking at once; 1 until it has said.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.device_seconds = 0.0
        self.paused_seconds = 0.0
        self.at_once = 1
        self._now = now
        self._said = (0.0, 0.0)
        self._working_since: float | None = None

    def ask(self) -> None:
        """It is given work."""
        self._working_since = self._now()

    def hear(self, answer: Answer | Pulse) -> None:
        """It has answered, and works on if more is expected of it, else call `rest`; or it rests for others."""
        seconds, paused = self._said
        self.device_seconds += answer.device_seconds - seconds
        self.paused_seconds += answer.paused_seconds - paused
        self._said = (answer.device_seconds, answer.paused_seconds)
        if isinstance(answer, Answer):
            self.at_once = answer.at_once
        self._working_since = self._now()

    def rest(self) -> None:
        """It has nothing to do."""
        self._working_since = None

    def end(self) -> None:
        """It is gone, with what it was at; its next life counts from zero."""
        if self._working_since is not None:
            self.device_seconds += self._now() - self._working_since
        self._working_since = None
        self._said = (0.0, 0.0)
        self.at_once = 1
