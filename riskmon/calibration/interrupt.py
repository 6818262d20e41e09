"""Ctrl-C as a question instead of an exception, for work that wants to save what it has before it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


@contextmanager
def asking_to_stop() -> Iterator[Callable[[], bool]]:
    """Give a `stop` that turns True at the first Ctrl-C while the block runs; a second one acts as it did before.

    For the main thread only, as Python has it for all signals.
    """
    asked = False
    before = signal.getsignal(signal.SIGINT)

    def ask(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
