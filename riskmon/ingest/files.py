"""Backfill from files: finished logs of JSON lines, plain or packed, each counted once whatever it is called.

A file is known by its content (`riskmon.store.files`), so a log that was renamed, packed, or has grown since is gone on
with where it was left. Requests without a time of their own are taken to be of the file's last change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from riskmon.config import TrafficConfig
from riskmon.errors import InputError
from riskmon.ingest.counting import Outcome, count_to_end
from riskmon.ingest.steps import steps
from riskmon.ingest.times import Span
from riskmon.records.ranges import size
from riskmon.store import FILE_LINES, Store
from riskmon.traffic.log_file import PARTITION, LogFile, first_lines


def ingest_files(config: TrafficConfig, store: Store, paths: Sequence[Path], span: Span) -> Outcome:
    """Count the requests in files.

    Args:
        span: requests of another time are left for another backfill.

    Raises:
        InputError: a file is missing, damaged, or the one that the daemon reads.
        StoreUnavailable: the store cannot be written; what was counted stays.
    """
    for path in paths:
        _check(config, path)
    outcome = Outcome()
    sizes = [path.stat().st_size for path in paths]
    done = 0
    with steps("reading", sum(sizes)) as report:
        for path, packed_bytes in zip(paths, sizes, strict=True):
            if lines := first_lines(path, FILE_LINES):
                topic = store.file_topic(path.name, lines, datetime.now(UTC))
                source = LogFile(path, topic, config.max_message_bytes)
                _ingest(source, path, config, store, span, outcome, partial(_report_on, report, done))
            done += packed_bytes
            report(done)
    return outcome


def _ingest(
    source: LogFile,
    path: Path,
    config: TrafficConfig,
    store: Store,
    span: Span,
    outcome: Outcome,
    report: Callable[[int], None],
) -> None:
    counted = store.counted(source.topic)
    known = counted.get(PARTITION, [])
    outcome.known += size(known)
    # Lines before the first one that was left out need no second look.
    begin = known[0][1] if known and known[0][0] == 0 else 0
    try:
        source.start({PARTITION: begin})
        changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        count_to_end(
            source,
            config,
            store,
            span,
            counted,
            changed_at,
            outcome,
            lambda: report(source.packed_bytes_read),
        )
        if source.cut_off:
            outcome.cut_off.append(path.name)
    finally:
        source.close()


def _report_on(report: Callable[[int], None], before: int, packed_bytes: int) -> None:
    report(before + packed_bytes)


def _check(config: TrafficConfig, path: Path) -> None:
    if not path.is_file():
        raise InputError(f"there is no file {path}; name files of JSON lines, plain, .gz, .bz2, .xz or .zst")
    if config.jsonl is not None and config.jsonl.exists() and path.samefile(config.jsonl):
        raise InputError(
            f"{path} is traffic.jsonl, which the daemon reads: counting it here would count it twice; name other files"
        )
