"""When the tour ends: its time is up, or somebody asked.

A signal handler only leaves a note, and whoever waits looks at it: nothing is broken off half-way, so that every
process that was started is also ended.
"""

from __future__ import annotations

import signal
import time
from types import FrameType, TracebackType
from typing import Any, Self

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_PAUSE_S = 0.25


class Ending:
    """Listens for signals inside its `with` block.

    Args:
        seconds: after so many the tour is over; None is never.
    """

    def __init__(self, seconds: float | None) -> None:
        self._until = float("inf") if seconds is None else time.monotonic() + seconds
        self._caught: int | None = None
        self._before: dict[int, Any] = {}

    @property
    def over(self) -> bool:
        """Whether to end."""
        return self._caught is not None or time.monotonic() >= self._until

    @property
    def exit_code(self) -> int | None:
        """128 + the first signal, as a shell counts: 130 after Ctrl-C; None without a signal."""
        return None if self._caught is None else 128 + self._caught

    @staticmethod
    def pause() -> None:
        """Wait a moment before looking again."""
        time.sleep(_PAUSE_S)

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._caught = self._caught or number
