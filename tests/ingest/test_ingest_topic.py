"""Backfill from a topic: what is counted, what was, what is gone, and what is left to the daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from support.kafka import Cluster

from riskmon import jobs
from riskmon.config import KafkaConfig, TrafficConfig
from riskmon.errors import ConfigError, InputError
from riskmon.ingest import Span, describe, ingest_topic, parse_span
from riskmon.ingest.counting import Outcome
from riskmon.store import Store, open_store
from riskmon.traffic import intake as intake_module
from riskmon.traffic import open_source

DAY = timedelta(days=1)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
PER_DAY = 24


def day(number: int) -> datetime:
    return FIRST + number * DAY


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        yield opened


@pytest.fixture
def topic(kafka_broker: Cluster) -> str:
    """Five days, a message an hour in each of two partitions, the second one a day late to begin."""
    name = kafka_broker.create_topic(partitions=2, **{"retention.ms": "-1"})
    for partition, days in ((0, range(5)), (1, range(1, 5))):
        hours = range(days[0] * PER_DAY, (days[-1] + 1) * PER_DAY)
        send(kafka_broker, name, partition, *(FIRST + timedelta(hours=hour) for hour in hours))
    return name


def send(cluster: Cluster, topic: str, partition: int, *moments: datetime) -> None:
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "batch.num.messages": 1})
    for at in moments:
        body = json.dumps({"prompt": f"{partition} at {at}", "timestamp": at.isoformat()})
        producer.produce(topic, body.encode(), partition=partition, timestamp=round(at.timestamp() * 1000))
    assert producer.flush(15) == 0


def traffic(cluster: Cluster, topic: str, start: str = "latest") -> TrafficConfig:
    kafka = KafkaConfig(bootstrap_servers=(cluster.bootstrap,), topic=topic, start=start)  # type: ignore[arg-type]
    return TrafficConfig(kafka=kafka, sample_per_window=3, flush_interval=timedelta(milliseconds=100))


def by_day(store: Store) -> dict[int, int]:
    days: dict[int, int] = {}
    for window in store.volume(FIRST):
        number = (window.start - FIRST) // DAY
        days[number] = days.get(number, 0) + window.requests
    return days


def follow_to_end(config: TrafficConfig, store: Store) -> None:
    source = open_source(config, alone=True)
    jobs.follow_traffic(source, store, config, FIRST, lambda: day(9), lambda: False, to_end=True)
    source.close()


def test_a_span_of_time_is_counted_once_and_the_rest_stays_open(
    kafka_broker: Cluster, topic: str, store: Store
) -> None:
    config = traffic(kafka_broker, topic)
    first = ingest_topic(config, store, Span(day(1), day(3)))
    assert (first.counted, first.known, first.left_to_live) == (4 * PER_DAY, 0, 0)
    assert by_day(store) == {1: 2 * PER_DAY, 2: 2 * PER_DAY}
    assert store.next_offsets(topic) == {}

    wider = ingest_topic(config, store, Span(day(0), day(4)))
    assert (wider.counted, wider.known) == (3 * PER_DAY, 4 * PER_DAY)
    again = ingest_topic(config, store, Span(day(0), day(4)))
    assert (again.counted, again.known) == (0, 7 * PER_DAY)
    assert by_day(store) == {0: PER_DAY, 1: 2 * PER_DAY, 2: 2 * PER_DAY, 3: 2 * PER_DAY}
    assert store.counted(topic) == {0: [(0, 4 * PER_DAY)], 1: [(0, 3 * PER_DAY)]}


def test_the_daemon_passes_over_what_a_backfill_counted_before_it_began(
    kafka_broker: Cluster, topic: str, store: Store
) -> None:
    config = traffic(kafka_broker, topic, start="earliest")
    ingest_topic(config, store, Span(day(2), day(3)))
    follow_to_end(config, store)
    assert by_day(store) == {0: PER_DAY, 1: 2 * PER_DAY, 2: 2 * PER_DAY, 3: 2 * PER_DAY, 4: 2 * PER_DAY}
    assert store.counted(topic) == {0: [(0, 5 * PER_DAY)], 1: [(0, 4 * PER_DAY)]}
    assert store.counters().consumed == 9 * PER_DAY


def test_what_lies_where_the_daemon_reads_on_is_left_to_it(
    kafka_broker: Cluster, topic: str, store: Store
) -> None:
    config = traffic(kafka_broker, topic)
    follow_to_end(config, store)  # begins at the latest: it has counted nothing
    assert store.counters().consumed == 0
    send(kafka_broker, topic, 0, day(6), day(6), day(6))
    found = ingest_topic(config, store, Span(day(4), None))
    assert (found.counted, found.left_to_live) == (2 * PER_DAY, 3)
    follow_to_end(config, store)
    assert by_day(store) == {4: 2 * PER_DAY, 6: 3}


def test_what_retention_took_is_told(kafka_broker: Cluster, topic: str, store: Store) -> None:
    gone = TopicPartition(topic, 0, 2 * PER_DAY)
    kafka_broker.admin.delete_records([gone])[gone].result(10)
    found = ingest_topic(traffic(kafka_broker, topic), store, Span(day(0), day(4)))
    assert (found.counted, found.gone) == (5 * PER_DAY, 2 * PER_DAY)
    later = ingest_topic(traffic(kafka_broker, topic), store, Span(day(4), None))
    assert (later.counted, later.gone) == (2 * PER_DAY, 0)


def test_an_interrupted_backfill_goes_on_where_it_stopped(
    kafka_broker: Cluster, topic: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "MAX_MESSAGES", 20)
    monkeypatch.setattr(intake_module, "POLL_MESSAGES", 7)
    config = traffic(kafka_broker, topic)

    class Interrupted(BaseException):
        pass

    write, writes = store.write_intake, 0

    def interrupt(*args: object, **options: object) -> object:
        nonlocal writes
        writes += 1
        if writes == 4:
            raise Interrupted
        return write(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "write_intake", interrupt)
    with pytest.raises(Interrupted):
        ingest_topic(config, store, Span(day(0), None))
    done = store.counters().consumed
    assert 0 < done < 9 * PER_DAY
    rest = ingest_topic(config, store, Span(day(0), None))
    assert (rest.counted, rest.known) == (9 * PER_DAY - done, done)
    assert sum(by_day(store).values()) == 9 * PER_DAY


def test_the_outcome_is_told_in_lines() -> None:
    outcome = Outcome(counted=1200, known=7, gone=30, left_to_live=4, outside=5, cut_off=["a.log"])
    outcome.rejected.update(not_json=3, empty=1)
    assert list(describe(outcome, "offsets")) == [
        "counted 1,200 messages: 1,196 requests, 4 rejected (1 empty, 3 not_json)",
        "7 offsets were counted before",
        "5 messages are of another time, and were left out",
        "4 offsets lie where the daemon reads on, and are left to it",
        "up to 30 messages of that time are gone: the topic no longer keeps the offsets before its earliest",
        "the last line of a.log is not complete, and was left for when it is",
    ]


def test_times_are_dates_or_moments_and_the_span_has_a_length() -> None:
    assert parse_span("2026-03-01", "2026-03-01T06:00:00+02:00") == Span(FIRST, FIRST + timedelta(hours=4))
    with pytest.raises(InputError, match=r"--from is 'yesterday'; give a date such as"):
        parse_span("yesterday", None)
    with pytest.raises(InputError, match="is not after"):
        parse_span("2026-03-02", "2026-03-02")


def test_without_a_topic_there_is_nothing_to_read(tmp_path: Path, store: Store) -> None:
    config = TrafficConfig(jsonl=tmp_path / "live.jsonl")
    with pytest.raises(ConfigError, match=r"traffic\.kafka is not configured"):
        ingest_topic(config, store, Span(day(0)))
