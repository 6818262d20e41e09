"""Rejected messages forwarded to a topic of their own, read back by another client."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from pydantic import ValidationError
from support.kafka import Cluster
from support.kafka_door import (
    MESSAGE_TOO_LARGE,
    TOPIC_AUTHORIZATION_FAILED,
    UNKNOWN_TOPIC,
    Door,
    open_door,
)

from riskmon.config import KafkaConfig, TrafficConfig
from riskmon.records import IntakeBatch
from riskmon.traffic.intake import Intake
from riskmon.traffic.kafka import KafkaSource

NOW = datetime.now(UTC)
NOW_MS = int(NOW.timestamp() * 1000)

Letter = tuple[bytes | None, bytes | None, dict[str, bytes]]


@pytest.fixture
def topics(kafka_broker: Cluster) -> tuple[str, str]:
    """What is read, and where rejected messages go."""
    return kafka_broker.create_topic(), kafka_broker.create_topic()


@pytest.fixture(params=["kafka-python", "confluent"])
def collect(request: pytest.FixtureRequest) -> Iterator[Callable[..., IntakeBatch]]:
    """Reads what is in a topic, as one batch."""
    sources: list[KafkaSource] = []

    def read(servers: str, topic: str, dead_letters: str, **settings: Any) -> IntakeBatch:
        kafka = KafkaConfig(
            bootstrap_servers=(servers,),
            topic=topic,
            start="earliest",
            dead_letter_topic=dead_letters,
            client=request.param,
        )
        source = KafkaSource(kafka, request_timeout_s=2.0)
        sources.append(source)
        source.start({})
        source.mark_end()
        intake = Intake(source, TrafficConfig(kafka=kafka, **settings))
        batches = [intake.collect(NOW)]
        while not source.caught_up():
            batches.append(intake.collect(NOW))
        return joined(batches)

    yield read
    for source in sources:
        source.close()


def joined(batches: list[IntakeBatch]) -> IntakeBatch:
    """Their counts, added up."""
    requests: Counter[Any] = Counter()
    rejected: Counter[str] = Counter()
    dead_letters: Counter[str] = Counter()
    for batch in batches:
        requests.update(batch.requests)
        rejected.update(batch.rejected)
        dead_letters.update(batch.dead_letters)
    return IntakeBatch(sum(b.consumed for b in batches), requests, (), rejected, dead_letters=dead_letters)


def produce(cluster: Cluster, topic: str, *messages: tuple[Any, Any, Any]) -> None:
    """Key, value and headers of each."""
    producer = Producer({"bootstrap.servers": cluster.bootstrap})
    for key, value, headers in messages:
        producer.produce(topic, value, key=key, headers=headers, timestamp=NOW_MS, partition=0)
    assert producer.flush(10) == 0


def letters(cluster: Cluster, topic: str, count: int) -> list[Letter]:
    """Key, value and headers of what was forwarded."""
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "nobody"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = consumer.consume(count, timeout=10.0) + consumer.consume(1, timeout=0.2)
    consumer.close()
    # A topic's retention goes by the time of its messages.
    assert all(m.timestamp()[1] > (time.time() - 60) * 1000 for m in found)
    return [(m.key(), m.value(), dict(m.headers() or ())) for m in found]


def origin(topic: str, offset: int, reason: str) -> dict[str, bytes]:
    return {
        "riskmon-reason": reason.encode(),
        "riskmon-topic": topic.encode(),
        "riskmon-partition": b"0",
        "riskmon-offset": str(offset).encode(),
        "riskmon-timestamp-ms": str(NOW_MS).encode(),
    }


def test_they_arrive_as_they_came(
    kafka_broker: Cluster, topics: tuple[str, str], collect: Callable[..., IntakeBatch]
) -> None:
    topic, dead = topics
    produce(
        kafka_broker,
        topic,
        (b"k", b"not JSON \xff\x00", [("trace", b"\x01\x02"), ("empty", None)]),
        (None, b'{"prompt": "a request"}', None),
        (b"tombstone", None, None),
        (None, b'{"id": 1}', None),
    )
    batch = collect(kafka_broker.bootstrap, topic, dead)
    assert (batch.consumed, sum(batch.requests.values())) == (4, 1)
    assert batch.rejected == {"not_json": 1, "empty": 1, "no_prompt": 1}
    assert batch.dead_letters == {"sent": 3}
    assert letters(kafka_broker, dead, 3) == [
        (b"k", b"not JSON \xff\x00", {"trace": b"\x01\x02", "empty": b"", **origin(topic, 0, "not_json")}),
        (b"tombstone", None, origin(topic, 2, "empty")),
        (None, b'{"id": 1}', origin(topic, 3, "no_prompt")),
    ]


def test_they_are_safe_before_the_batch_is_handed_out_and_survive_its_loss(
    kafka_broker: Cluster, topics: tuple[str, str], collect: Callable[..., IntakeBatch]
) -> None:
    topic, dead = topics
    produce(kafka_broker, topic, *[(None, b"poison %d" % n, None) for n in range(2500)])
    for _ in range(2):  # the first batch is lost, as in a crash before the store has it
        assert collect(kafka_broker.bootstrap, topic, dead).dead_letters == {"sent": 2500}
    arrived = letters(kafka_broker, dead, 5000)
    assert [value for _, value, _ in arrived] == [b"poison %d" % n for n in range(2500)] * 2


def test_one_that_is_too_large_goes_without_its_value(
    kafka_broker: Cluster, topics: tuple[str, str], collect: Callable[..., IntakeBatch]
) -> None:
    topic, dead = topics
    produce(kafka_broker, topic, (b"k", b"x" * 50_000, [("trace", b"1")]))

    class SizeLimit(dict[str, int]):
        """Refuses the first attempt, as a topic does whose limit lies between the two sizes."""

        def get(self, name: str, default: int = 0) -> int:  # type: ignore[override]
            return self.pop(name, default)

    with open_door(Door(port_of(kafka_broker), refused=SizeLimit({dead: MESSAGE_TOO_LARGE}))) as door:
        batch = collect(door.address, topic, dead, max_message_bytes=1000)
    assert (batch.rejected, batch.dead_letters) == ({"oversized": 1}, {"cut": 1})
    # The door let the first attempt through to the broker, and only said otherwise.
    assert letters(kafka_broker, dead, 2)[1:] == [
        (b"k", b"", {"trace": b"1", **origin(topic, 0, "oversized"), "riskmon-value-bytes": b"50000"})
    ]


@pytest.mark.parametrize("error", [TOPIC_AUTHORIZATION_FAILED, MESSAGE_TOO_LARGE])
def test_a_topic_that_refuses_costs_neither_counts_nor_time(
    kafka_broker: Cluster,
    topics: tuple[str, str],
    collect: Callable[..., IntakeBatch],
    error: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic, dead = topics
    produce(kafka_broker, topic, *[(None, b"secret poison", None)] * 40, (None, b'{"prompt": "x"}', None))
    with (
        open_door(Door(port_of(kafka_broker), refused={dead: error})) as door,
        caplog.at_level(logging.WARNING, "riskmon"),
    ):
        batch = collect(door.address, topic, dead)
    assert (batch.consumed, sum(batch.requests.values()), batch.rejected) == (41, 1, {"not_json": 40})
    assert batch.dead_letters == {"failed": 40}
    assert "secret" not in caplog.text
    assert caplog.text.count(f"cannot be forwarded to topic {dead!r}") == (
        error == TOPIC_AUTHORIZATION_FAILED
    )


def test_a_topic_that_never_answers_is_waited_for_once(
    kafka_broker: Cluster,
    topics: tuple[str, str],
    collect: Callable[..., IntakeBatch],
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic, dead = topics
    produce(kafka_broker, topic, *[(None, b"poison", None)] * 3000)
    with (
        # The client asks again and again where a partition is, until its time is up.
        open_door(Door(port_of(kafka_broker), refused={dead: UNKNOWN_TOPIC})) as door,
        caplog.at_level(logging.WARNING, "riskmon"),
    ):
        started = time.monotonic()
        batch = collect(door.address, topic, dead)
        assert time.monotonic() - started < 15
    assert (batch.consumed, batch.dead_letters) == (3000, {"failed": 3000})
    [warning] = [record.getMessage() for record in caplog.records if record.name.startswith("riskmon")]
    assert warning.startswith(f"rejected messages cannot be forwarded to topic {dead!r}")


def test_the_topic_that_is_read_cannot_take_them() -> None:
    with pytest.raises(ValidationError, match="rejected messages would come back"):
        KafkaConfig(bootstrap_servers=("a:1",), topic="prompts", dead_letter_topic="prompts")


def test_a_sample_is_not_forwarded() -> None:
    with pytest.raises(ValidationError, match="leave dead_letter_topic out"):
        KafkaConfig(bootstrap_servers=("a:1",), topic="prompts", dead_letter_topic="dead", mode="seek")


def port_of(cluster: Cluster) -> int:
    return int(cluster.bootstrap.rsplit(":", 1)[1])
