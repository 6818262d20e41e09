"""How the daemon ends: by a signal or by a fault, with what patience, and with which exit code."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from riskmon.errors import UserError

# Of the ten seconds a supervisor grants, so much may go to the prompt under way.
_LAST_PROMPT_S = 4.0


class Ending:
    """Whether the daemon is to end, since when, and why; shared by all its threads.

    Attributes:
        fault: the first one that the user must fix; None without any.
    """

    def __init__(self) -> None:
        self.fault: UserError | None = None
        self._begun = threading.Event()
        self._signalled = False
        self._since = float("inf")

    def begin(self) -> None:
        """Begin to end; safe to call from any thread, but not from a signal handler."""
        self._since = min(self._since, time.monotonic())
        self._begun.set()

    def begin_with(self, fault: UserError) -> None:
        """Begin to end because of a fault; the first one counts."""
        self.fault = self.fault or fault
        self.begin()

    def begun(self) -> bool:
        """Whether a signal or a fault has begun the end."""
        return self._signalled or self._begun.is_set()

    def out_of_patience(self) -> bool:
        """Whether the prompt under way has had its time."""
        return time.monotonic() > self._since + _LAST_PROMPT_S

    def wait(self, seconds: float) -> None:
        """Wait so long, or until `begin`."""
        self._begun.wait(seconds)

    @contextmanager
    def signals(self) -> Iterator[set[int]]:
        """While inside, SIGTERM and SIGINT begin the drain; yields the set of those caught."""
        caught: set[int] = set()

        def note(number: int, _: FrameType | None) -> None:
            # Plain attributes only: an Event's lock may be held by the very code this handler interrupts.
            caught.add(number)
            self._since = min(self._since, time.monotonic())
            self._signalled = True

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield caught
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def exit_code(caught: set[int]) -> int:
    """130 after Ctrl-C; a SIGTERM is a supervisor's ordinary way to end a daemon."""
    return 128 + signal.SIGINT if signal.SIGINT in caught else 0
