"""What is read of a topic is exactly what was asked for, however ranges follow one another."""

from __future__ import annotations

import numpy as np
import pytest
from support.virtual_broker import VirtualTopic, serving

from riskmon.config import KafkaConfig
from riskmon.traffic.kafka import KafkaRanges
from riskmon.traffic.seek.design import Span, place_ranges


def named(partition: int, offset: int) -> bytes | None:
    return None if offset % 11 == 0 else b"%d:%d" % (partition, offset)


@pytest.mark.parametrize("length", [1, 5, 60])
def test_every_range_is_read_whole_and_alone(length: int) -> None:
    """Partitions of very different size, so that some are done while others still have ranges to read."""
    with serving(t=VirtualTopic(named, [5_000, 70, 0, 90_000, 3, 1_200])) as broker:
        config = KafkaConfig(bootstrap_servers=(broker.bootstrap,), topic="t", start="earliest")
        source = KafkaRanges(config)
        source.start({})
        assert len(source.spans()) == 6
        for seed in range(6):
            design = place_ranges(source.spans(), 12, length, np.random.default_rng(seed))
            asked = [piece.span for piece in design.pieces]
            read = source.read(asked)
            found = [[value for batch in batches for value in batch.values] for batches in read]
            assert found == [_values(span) for span in asked]
        before = broker.fetches
        source.read([Span(1, 10, 15), Span(3, 500, 505), Span(1, 20, 20)])
        assert broker.fetches - before <= 4
        source.close()


def _values(span: Span) -> list[bytes]:
    values = (named(span.partition, offset) for offset in range(span.begin, span.end))
    return [value for value in values if value is not None]
