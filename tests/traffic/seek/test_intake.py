"""Steps over real brokers: what is counted, what is sampled, what it costs, and that nothing is counted twice."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from pydantic import SecretStr
from support.kafka import Cluster, EmbeddedBroker
from support.virtual_broker import VirtualBroker, VirtualTopic, request_of, serving

from riskmon import jobs
from riskmon.config import KafkaConfig, SeekConfig, TrafficConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import IntakeBatch, Stratum
from riskmon.store import open_store
from riskmon.traffic import open_intake, open_source
from riskmon.traffic.kafka import KafkaRanges
from riskmon.traffic.seek.design import Span
from riskmon.traffic.seek.intake import SeekIntake
from riskmon.traffic.seek.source import RangeSource, SpansMoved
from riskmon.traffic.source import RawBatch

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
NOW = NOON + timedelta(milliseconds=1)
CHAT, CODE = (Stratum((("route", route),)) for route in ("chat", "code"))
RANGES, LENGTH = 25, 10

Open = Callable[..., tuple[KafkaRanges, SeekIntake]]


def traffic(bootstrap: str, topic: str = "t", **kafka: Any) -> TrafficConfig:
    return TrafficConfig(
        kafka=KafkaConfig(
            bootstrap_servers=(bootstrap,), topic=topic, mode="seek", **{"start": "earliest"} | kafka
        ),
        seek=SeekConfig(every=timedelta(seconds=0.2), ranges=RANGES, range_messages=LENGTH),
        strata=("route",),
        sample_per_window=8,
        sample_key=SecretStr("key"),
        flush_interval=timedelta(milliseconds=20),
        max_ahead=timedelta(days=3650),  # real brokers date messages by the real clock
    )


@pytest.fixture
def begin() -> Iterator[Open]:
    """Starts sources and their intakes, and closes the sources at the end."""
    opened: list[RangeSource] = []

    def make(config: TrafficConfig, offsets: dict[int, int] | None = None, **options: Any) -> Any:
        assert config.kafka is not None
        source = KafkaRanges(config.kafka, **options)
        opened.append(source)
        source.start(offsets or {})
        return source, open_intake(source, config)

    yield make
    for source in opened:
        source.close()


def routes(partition: int, offset: int) -> bytes | None:
    """Two thirds `chat`, one third `code`, in runs of seven."""
    return json.dumps(
        {"prompt": f"{partition}:{offset}", "route": ["chat", "chat", "code"][offset // 7 % 3]}
    ).encode()


def per_stratum(batch: IntakeBatch) -> Counter[Stratum]:
    found = Counter[Stratum]()
    for (_, stratum), requests in batch.requests.items():
        found[stratum] += requests
    return found


def test_few_offsets_are_read_all_and_counted_exactly(begin: Open) -> None:
    with serving(t=VirtualTopic(routes, [100, 0, 63])) as broker:
        source, intake = begin(traffic(broker.bootstrap))
        batch = intake.collect(NOW)
    code = sum(offset // 7 % 3 == 2 for end in (100, 63) for offset in range(end))
    assert per_stratum(batch) == {CHAT: 163 - code, CODE: code}
    assert (batch.consumed, batch.variances, batch.rejected) == (163, {}, {})
    assert batch.next_offsets == {("t", 0): 100, ("t", 1): 0, ("t", 2): 63}
    assert batch.first_offsets == {("t", 0): 0, ("t", 1): 0, ("t", 2): 0}
    assert {one.stands_for for one in batch.sample} == {1.0}
    assert {one.window_start for one in batch.sample} == {NOON}
    assert source.status(NOW).lag_messages == 0


def test_of_many_offsets_the_volume_is_exact_and_the_strata_are_estimated(begin: Open) -> None:
    with serving(t=VirtualTopic(routes, [90_000, 7_000, 3_000])) as broker:
        _, intake = begin(traffic(broker.bootstrap))
        batch = intake.collect(NOW)
    counted = per_stratum(batch)
    assert batch.consumed == counted.total() == 100_000
    assert batch.variances.keys() == batch.requests.keys()
    error = batch.variances[NOON, CODE] ** 0.5
    assert 1_000 < error < 10_000
    assert counted[CODE] == pytest.approx(100_000 / 3, abs=4 * error)
    assert {one.stands_for for one in batch.sample} == {100_000 / RANGES / LENGTH}
    assert {one.size for one in batch.sample} == {100_000 / RANGES / LENGTH}
    assert all(one.priority < 1 / one.size for one in batch.sample)
    # The eight smallest of each cell at least, and not the 250 that were read.
    assert 16 <= len(batch.sample) < 100


def test_the_cost_follows_the_ranges_and_not_the_offsets(begin: Open) -> None:
    spent = {}
    for offsets in (10_000, 10_000_000):
        with serving(t=VirtualTopic(request_of, [offsets // 4] * 4)) as broker:
            _, intake = begin(traffic(broker.bootstrap))
            assert intake.collect(NOW).consumed == offsets
            spent[offsets] = (broker.fetches, broker.records_bytes)
    few, many = spent[10_000], spent[10_000_000]
    assert many[0] <= 2 * RANGES
    assert many[0] == pytest.approx(few[0], rel=0.5)
    # Batches of fifty messages of 500 bytes; a fetch brings one or two of them.
    assert many[1] <= 2 * RANGES * 40_000


def test_gaps_are_estimated_and_so_is_what_cannot_be_read(begin: Open) -> None:
    def holed(_partition: int, offset: int) -> bytes | None:
        if offset % 100 < 30:
            return None
        return b"{" if offset % 10 == 9 else b'{"prompt": "x", "route": "chat"}'

    with serving(t=VirtualTopic(holed, [60_000])) as broker:
        _, intake = begin(traffic(broker.bootstrap))
        batch = intake.collect(NOW)
        _, whole = begin(traffic(broker.bootstrap), {0: 59_850})
        exact = whole.collect(NOW)
    assert exact.rejected == {"not_json": 12}
    assert (exact.consumed, exact.variances) == (120, {})
    assert batch.consumed == batch.requests[NOON, CHAT] + batch.rejected["not_json"]
    error = batch.variances[NOON, CHAT] ** 0.5
    assert batch.requests[NOON, CHAT] == pytest.approx(0.63 * 60_000, abs=4 * error)
    assert batch.rejected["not_json"] == pytest.approx(0.07 * 60_000, rel=0.6)
    assert batch.next_offsets == {("t", 0): 60_000}


class SteadyClock:
    """Stands in for `time`: it goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_next_step_begins_where_the_last_ended_and_waits_for_its_time(
    begin: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteadyClock()
    monkeypatch.setattr("riskmon.traffic.seek.intake.time", clock)
    topic = VirtualTopic(routes, [500, 500])
    with serving(t=topic) as broker:
        source, intake = begin(traffic(broker.bootstrap), discover_every_s=0.0)
        intake.collect(NOW)
        topic.ends[1] = 40_500
        topic.ends.append(30)
        topic.begins.append(0)
        assert source.status(NOW).lag_messages == 40_000
        assert intake.collect(NOW) == IntakeBatch()
        while not (second := intake.collect(NOW)).consumed:
            assert clock.now <= 0.2
    assert clock.now == pytest.approx(0.2)
    assert second.consumed == 40_030
    assert second.first_offsets == {("t", 1): 500, ("t", 2): 0}
    assert second.next_offsets == {("t", 1): 40_500, ("t", 2): 30}


def test_a_pause_is_made_up_for_step_by_step_so_that_its_windows_are_told_apart(begin: Open) -> None:
    def dated(_partition: int, offset: int) -> bytes:
        """Eighty minutes, of which the first forty had three quarters of the requests."""
        minute = offset / 1_500 if offset < 60_000 else 40 + (offset - 60_000) / 500
        at = NOON - timedelta(minutes=80 - minute)
        return json.dumps({"prompt": "x", "route": "chat", "timestamp": at.isoformat()}).encode()

    topic = VirtualTopic(dated, [80_000, 80_000])
    topic.timestamp_ms -= 80 * 60_000
    with serving(t=topic) as broker:
        config = traffic(broker.bootstrap).model_copy(
            update={"seek": SeekConfig(every=timedelta(minutes=2), ranges=RANGES, range_messages=LENGTH)}
        )
        _, intake = begin(config)
        steps = [intake.collect(NOON) for _ in range(40)]
        assert intake.collect(NOON) == IntakeBatch()
    assert {step.consumed for step in steps} == {4_000}
    assert steps[-1].next_offsets == {("t", 0): 80_000, ("t", 1): 80_000}
    assert steps[7].first_offsets == {("t", 0): 14_000, ("t", 1): 14_000}
    counted = Counter[datetime]()
    for step in steps:
        counted.update({start: requests for (start, _), requests in step.requests.items()})
    earlier = 2 * 1_500 * 20
    assert counted[NOON - timedelta(hours=2)] == pytest.approx(earlier, rel=0.02)
    assert counted.total() == 160_000


def test_the_same_step_read_again_reads_the_same_and_another_key_reads_elsewhere(begin: Open) -> None:
    with serving(t=VirtualTopic(routes, [50_000])) as broker:
        config = traffic(broker.bootstrap)
        first, again = begin(config)[1].collect(NOW), begin(config)[1].collect(NOW)
        other = begin(config.model_copy(update={"sample_key": SecretStr("other")}))[1].collect(NOW)
    assert first == again
    positions = [{one.prompt.position for one in batch.sample} for batch in (first, other)]
    assert len(positions[0] & positions[1]) < len(positions[0]) / 4


def test_messages_that_retention_took_are_not_counted(begin: Open, caplog: pytest.LogCaptureFixture) -> None:
    topic = VirtualTopic(routes, [5_000])
    with serving(t=topic) as broker:
        source, intake = begin(traffic(broker.bootstrap), {0: 1_000})
        spans = source.spans()
        topic.begins[0] = 4_900
        with pytest.raises(SpansMoved):
            source.read(spans)
        batch = intake.collect(NOW)
    assert "3900 messages were lost" in caplog.text
    assert batch.consumed == 100
    # The store goes on at 1,000, and is told that the batch follows on that.
    assert batch.first_offsets == {("t", 0): 1_000}
    assert batch.next_offsets == {("t", 0): 5_000}


class Shrinking(KafkaRanges):
    """Its topic loses messages each time they are about to be read."""

    topic_served: VirtualTopic
    losses = 10**9

    def read(self, spans: Any) -> list[list[RawBatch]]:
        if self.losses:
            self.losses -= 1
            self.topic_served.begins[0] += 1_000
        return super().read(spans)


@pytest.mark.parametrize(("losses", "consumed"), [(1, 9_000), (10**9, None)])
def test_a_step_whose_offsets_vanish_is_made_anew_and_given_up_in_the_end(
    losses: int, consumed: int | None
) -> None:
    topic = VirtualTopic(routes, [10_000])
    with serving(t=topic) as broker:
        config = traffic(broker.bootstrap)
        assert config.kafka is not None
        source = Shrinking(config.kafka)
        source.topic_served, source.losses = topic, losses
        source.start({})
        intake = open_intake(source, config)
        if consumed is not None:
            assert intake.collect(NOW).consumed == consumed
        else:
            with pytest.raises(TrafficUnavailable, match="raise its retention"):
                intake.collect(NOW)
        source.close()


def follow(broker: VirtualBroker | Cluster, topic: str, url: str) -> None:
    """Count all that is in the topic into a store, as `riskmon run --once` does."""
    config = traffic(broker.bootstrap, topic)
    source = open_source(config)
    with open_store(url) as store:
        jobs.follow_traffic(source, store, config, NOON, lambda: NOW, lambda: False, to_end=True)
    source.close()


def test_the_store_takes_steps_as_it_takes_any_batch(tmp_path: Path) -> None:
    topic, url = VirtualTopic(routes, [9_000, 31_000]), f"sqlite:///{tmp_path}/risk.db"
    with serving(t=topic) as broker:
        follow(broker, "t", url)
        follow(broker, "t", url)
        topic.ends[:] = [9_100, 61_000]
        follow(broker, "t", url)
    with open_store(url) as store:
        windows = store.volume(NOON)
        assert sum(window.requests for window in windows) == 70_100
        assert [window.stratum for window in windows] == [CHAT, CODE] or len(windows) == 2
        assert all(window.variance > 1e5 for window in windows)
        assert store.next_offsets("t") == {0: 9_100, 1: 61_000}
        assert store.counters().consumed == 70_100
        assert len(store.pending_prompts(NOON)) == 16


def test_a_real_broker_with_transactions(kafka_broker: Cluster, begin: Open) -> None:
    """Requests of aborted transactions and the markers of all are gaps, not requests."""
    topic = kafka_broker.create_topic(partitions=2)
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(10)
    for number in range(40):
        producer.begin_transaction()
        for offset in range(30):
            producer.produce(topic, routes(number % 2, offset), partition=number % 2)
        if number % 4 < 2:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)
    kafka_broker.produce(topic, [routes(0, offset) for offset in range(2_000)], partition=0)
    source, intake = begin(traffic(kafka_broker.bootstrap, topic))
    spans = source.spans()
    batch = intake.collect(NOW)
    last = Span(0, spans[0].end - 200, spans[0].end)
    _, recent = begin(traffic(kafka_broker.bootstrap, topic), {0: last.begin, 1: spans[1].end})
    # Kafka keeps what was aborted, and its markers; the embedded broker only the markers of what was committed.
    gaps = sum(len(span) for span in spans) - 2_600
    assert gaps in (20, 640)
    assert recent.collect(NOW).consumed == 200
    stderr = sum(batch.variances.values()) ** 0.5
    assert 2_600 - 4 * stderr <= batch.consumed <= 2_600 + min(gaps, max(20, 4 * stderr))


def test_a_broker_that_goes_and_comes_back(unplugged_broker: EmbeddedBroker, begin: Open) -> None:
    unplugged_broker.start()
    topic = unplugged_broker.create_topic()
    unplugged_broker.produce(topic, [routes(0, offset) for offset in range(300)])
    source, intake = begin(traffic(unplugged_broker.bootstrap, topic), request_timeout_s=1.0)
    assert intake.collect(NOW).consumed == 300
    unplugged_broker.stop()
    time.sleep(0.25)
    with pytest.raises(TrafficUnavailable, match="check that the broker runs"):
        intake.collect(NOW)
    assert not source.status(NOW).up
    unplugged_broker.start()
    unplugged_broker.produce(topic, [routes(0, offset) for offset in range(20)])
    deadline = time.monotonic() + 20
    while True:
        try:
            batch = intake.collect(NOW)
        except TrafficUnavailable:
            batch = IntakeBatch()
        if batch.consumed:
            break
        assert time.monotonic() < deadline
    assert batch.consumed == 20
    assert batch.first_offsets == {(topic, 0): 300}


def test_a_damaged_batch_is_counted_as_corrupt(unplugged_broker: EmbeddedBroker, begin: Open) -> None:
    unplugged_broker.start()
    topic = unplugged_broker.create_topic()
    for first in (0, 4, 8):
        unplugged_broker.produce(topic, [routes(0, first + n) for n in range(4)])
    unplugged_broker.stop()
    unplugged_broker.damage_batch(topic, 4)
    unplugged_broker.start()
    _, intake = begin(traffic(unplugged_broker.bootstrap, topic))
    batch = intake.collect(NOW)
    assert batch.rejected == {"corrupt": 4}
    assert batch.consumed == 12
