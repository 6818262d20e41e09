"""How far long work is: a bar on a terminal, log lines elsewhere; both on standard error."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)

Report = Callable[[int, str], None]
"""Called with the number of parts done, and a note on the last of them that may be empty."""


@contextmanager
def progress(verb: str, total: int, log_part: Report | None = None) -> Iterator[Report]:
    """Show work of `total` parts while the block runs.

    Args:
        log_part: called for every part away from a terminal; without it a line is logged for every part that has a
            note, and for every tenth of the whole.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield log_part or partial(_log_part, verb, total)
        return
    columns = (
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=total)

        def report(done: int, note: str) -> None:
            bar.update(task, completed=done, description=note or None)

        yield report


@contextmanager
def status(text: str) -> Iterator[None]:
    """Say what is under way, where it cannot be said how far."""
    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(text):
            yield
    else:
        log.info("%s", text)
        yield


def _log_part(verb: str, total: int, done: int, note: str) -> None:
    if note or 10 * done // total > 10 * (done - 1) // total:
        log.info("%s: %d of %d%s", verb, done, total, f" ({note})" if note else "")
