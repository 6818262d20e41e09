"""Processes that belong to the tour: each is ended by its own id, whatever happens.

A child gets a session of its own, so that Ctrl-C at the terminal reaches the tour alone, which then ends its children
in order. What a child writes goes to a file.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self


class Child:
    """A running process; leaving the `with` block ends it.

    Args:
        command: program and arguments.
        log: file that receives standard output and standard error.
        env: variables added to this process's own.
        grace_s: time between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        grace_s: float,
    ) -> None:
        self.log = log
        self._grace_s = grace_s
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**_inherited(), **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs, negative after a signal."""
        return self._process.poll()

    def stop(self) -> int:
        """Ask it to end, insist after the grace period; returns how it ended."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def last_words(self, lines: int = 5) -> str:
        """The end of what it wrote, for an error message."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip()
        return "\n".join(text.splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _inherited() -> dict[str, str]:
    """This process's environment without riskmon's settings: they belong to a real daemon and its real store."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith("RISKMON_")}
