"""The virtual broker serves what a client that knows nothing of it expects of a broker."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from support.virtual_broker import VirtualTopic, serving


def numbered(partition: int, offset: int) -> bytes | None:
    """`partition:offset`, and nothing at every seventh offset."""
    return None if offset % 7 == 0 else b"%d:%d" % (partition, offset)


def read(consumer: Consumer, most: int) -> list[Message]:
    messages: list[Message] = []
    while len(messages) < most:
        got = consumer.consume(most - len(messages), timeout=5)
        assert got, f"only {len(messages)} of {most} messages came"
        messages += got
    assert all(message.error() is None for message in messages)
    return messages


def test_another_client_reads_anywhere_in_ten_million_offsets() -> None:
    with serving(big=VirtualTopic(numbered, [10_000_000, 20])) as broker:
        consumer = Consumer(
            {"bootstrap.servers": broker.bootstrap, "group.id": "any", "enable.auto.commit": False}
        )
        assert consumer.get_watermark_offsets(TopicPartition("big", 0), timeout=5) == (0, 10_000_000)
        consumer.assign([TopicPartition("big", 0, 9_999_980), TopicPartition("big", 1, 3)])
        found = {(m.partition(), m.offset()): m.value() for m in read(consumer, 32)}
        consumer.close()
    expected = {(0, n): numbered(0, n) for n in range(9_999_980, 10_000_000) if n % 7}
    expected |= {(1, n): numbered(1, n) for n in range(3, 20) if n % 7}
    assert len(expected) == 32
    assert found == expected


@pytest.mark.parametrize(("max_bytes", "batches"), [(1, 1), (2_000, 1), (20_000, 14)])
def test_a_fetch_gives_one_batch_at_least_and_no_more_than_was_asked_for(
    max_bytes: int, batches: int
) -> None:
    topic = VirtualTopic(lambda _partition, _offset: b"x" * 20, [10_000])
    one = len(topic.records(0, 0, 1))
    assert len(topic.records(0, 125, max_bytes)) == batches * one
