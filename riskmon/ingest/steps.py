"""How far a backfill is, in steps of any size: a bar on a terminal, a log line for each tenth elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from riskmon.progress import progress

log = logging.getLogger(__name__)


@contextmanager
def steps(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show work of `total` parts; what is yielded is called with the number of parts done."""
    tenths = 0

    def log_tenth(done: int, _note: str) -> None:
        nonlocal tenths
        if total and 10 * done // total > tenths:
            tenths = 10 * done // total
            log.info("%s: %d%% done", verb, 10 * tenths)

    with progress(verb, total, log_tenth) as report:
        yield lambda done: report(done, "")
