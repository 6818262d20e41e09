"""Backfill from the topic: what it still holds of a span of time and nobody has counted.

What the daemon will come to, from where it reads on, is left to it: counting it here would only take it away there.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from riskmon.config import TrafficConfig
from riskmon.errors import BatchRefused, ConfigError
from riskmon.ingest.counting import Outcome, count_to_end
from riskmon.ingest.steps import steps
from riskmon.ingest.times import Span
from riskmon.records.ranges import Range, size, without
from riskmon.store import Store

log = logging.getLogger(__name__)

_ATTEMPTS = 5


def ingest_topic(config: TrafficConfig, store: Store, span: Span) -> Outcome:
    """Count what the topic holds of a span of time.

    Raises:
        ConfigError: the configuration names no topic.
        TrafficUnavailable: the cluster cannot be reached; what was counted stays.
        StoreUnavailable: the store cannot be written; what was counted stays.
    """
    if config.kafka is None:
        raise ConfigError(
            "'riskmon ingest' without files reads from Kafka, and traffic.kafka is not configured"
        )
    outcome = Outcome()
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _ingest(config, store, span, outcome)
        except BatchRefused as exc:
            # Another backfill, or the daemon for the first time: whatever it counted is known now.
            if attempt == _ATTEMPTS:
                raise
            log.warning("%s", exc)
        else:
            break
    return outcome


def _ingest(config: TrafficConfig, store: Store, span: Span, outcome: Outcome) -> None:
    from riskmon.traffic.kafka.span import KafkaSpan

    assert config.kafka is not None
    source = KafkaSpan(config.kafka.model_copy(update={"assignment": "all"}))
    try:
        found = source.find(span.since, span.until)
        counted, live = store.counted(source.topic), store.next_offsets(source.topic)
        todo: dict[int, Range] = {}
        outcome.known = outcome.gone = outcome.left_to_live = 0
        for partition, (begin, end) in found.ranges.items():
            known = counted.get(partition, [])
            until = max(begin, min(end, live.get(partition, end)))
            open_ranges = without((begin, until), known)
            if open_ranges:
                todo[partition] = open_ranges[0][0], open_ranges[-1][1]
            outcome.left_to_live += size(without((until, end), known))
            outcome.known += end - begin - size(without((begin, end), known))
            if begin == found.earliest[partition]:
                outcome.gone += size(without((0, begin), known))
        if not todo:
            return
        source.read(todo)
        total = sum(end - begin for begin, end in todo.values())
        with steps("reading", total) as report:
            count_to_end(
                source,
                config,
                store,
                Span(),
                counted,
                datetime.now(UTC),
                outcome,
                lambda: report(sum(at - todo[p][0] for p, at in source.next_offsets().items())),
            )
    finally:
        source.close()
