"""Counting a source to its end, batch by batch, into the store."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from riskmon.config import DuplicatesConfig, TrafficConfig
from riskmon.ingest.times import Span
from riskmon.records.ranges import Range
from riskmon.store import Store
from riskmon.traffic.decode import Decoder, Rejected
from riskmon.traffic.intake import Intake
from riskmon.traffic.left_out import LeftOut
from riskmon.traffic.source import RawMessage, Source

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Outcome:
    """What came of a backfill; all are numbers of messages, but for `gone` and `left_to_live`.

    Attributes:
        counted: messages counted now, rejected ones included.
        rejected: those of them that are no requests, per reason.
        outside: messages of another time, left for another backfill.
        known: offsets (of a file: bytes) that were counted before.
        gone: offsets before the earliest one kept, which may have been of that time.
        left_to_live: offsets that the daemon will come to.
        cut_off: files whose last line is not complete.
    """

    counted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    outside: int = 0
    known: int = 0
    gone: int = 0
    left_to_live: int = 0
    cut_off: list[str] = field(default_factory=list)


def count_to_end(
    source: Source,
    config: TrafficConfig,
    store: Store,
    span: Span,
    counted: Mapping[int, Sequence[Range]],
    now: datetime,
    outcome: Outcome,
    progressed: Callable[[], None],
) -> None:
    """Count what a source holds and the store has not.

    Args:
        source: already begun.
        span: requests of another time are left out; open where the source sees to that.
        counted: per partition, what was counted before.
        now: time of requests that carry none.
        outcome: is added to.
        progressed: called after every batch.

    Raises:
        TrafficUnavailable, InputError: the source cannot be read on.
        StoreUnavailable: the store cannot be written, or somebody else counted the same meanwhile.
    """
    left_out = LeftOut(counted, _outside(config, span, now) if span.bounded else None)
    intake = Intake(
        source,
        config,
        store.kept_strata(),
        store.thresholds(config.sample_per_window, span.since or _EPOCH),
        left_out=left_out,
        decoder=_decoder(config),
    )
    while True:
        batch = intake.collect(now)
        news = store.write_intake(
            batch,
            keep=config.sample_per_window,
            now=datetime.now(UTC),
            limits=config.strata_limits,
            backfill=True,
        )
        intake.learn(news.kept)
        outcome.counted += batch.consumed
        outcome.rejected.update(batch.rejected)
        progressed()
        if source.caught_up():
            break
    outcome.outside += left_out.unwanted_messages


def _outside(config: TrafficConfig, span: Span, now: datetime) -> Callable[[RawMessage], bool]:
    """Tells requests of another time; what is no request has none, and is counted.

    A request that came before has a time as well, so this decoder knows none again.
    """
    decoder = _decoder(config.model_copy(update={"duplicates": DuplicatesConfig(remember=0)}))

    def outside(message: RawMessage) -> bool:
        request = decoder.decode(message, now)
        return not isinstance(request, Rejected) and not span.holds(request.requested_at)

    return outside


def _decoder(config: TrafficConfig) -> Decoder:
    """Reads requests of any time: what is past is read on purpose."""
    return Decoder(config, any_age=True)
