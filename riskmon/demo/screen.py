"""What the visitor sees: lines with the time since the start, and one line that moves while something is awaited.

On a terminal the moving line is a spinner; elsewhere it is printed now and then, so that a log shows progress too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

from riskmon.console import print_forecast
from riskmon.records import Forecast

# A table of forecasts needs so many columns; a file has no width of its own.
_FILE_WIDTH = 120


class Screen:
    """Writes to standard output; the moving line is shown inside its `with` block."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else _FILE_WIDTH
        self._console = Console(highlight=False, markup=False, emoji=False, width=width)
        self._status = Status("", console=self._console)
        self._started = self._moved = time.monotonic()

    def say(self, text: str) -> None:
        """A line that stays."""
        elapsed = int(time.monotonic() - self._started)
        self._console.print(f"{elapsed // 60}:{elapsed % 60:02d}  {text}", soft_wrap=True)

    def waiting(self, text: str, *, plain_every_s: float = 15.0) -> None:
        """What is being waited for at this moment.

        Args:
            plain_every_s: where there is no terminal, a line is printed no more often than this.
        """
        if self._console.is_terminal:
            self._status.update(text)
        elif time.monotonic() - self._moved >= plain_every_s:
            self._moved = time.monotonic()
            self.say(text)

    def show(self, lines: Sequence[str]) -> None:
        """Lines as they stand, and a blank one."""
        for line in lines:
            self._console.print(f"    {line}".rstrip(), soft_wrap=True)
        self._console.print()

    def show_forecast(self, forecasts: Sequence[Forecast]) -> None:
        """The forecast as a table."""
        self._console.print()
        print_forecast(forecasts, console=self._console)
        self._console.print()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()
