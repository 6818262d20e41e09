"""Several processes share the partitions of a topic; whatever comes and goes, what is kept is what one would have kept.

Real processes on a real PostgreSQL, and a group coordinator that evicts the dead.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from support.group_broker import GroupBroker, grouped
from support.intake_process import Intakes, intakes
from support.kafka import Cluster, free_port
from support.store_keys import store_at

from riskmon.config import KafkaConfig, StoreConfig, TrafficConfig
from riskmon.store import Store, open_store

PARTITIONS = 6
START = datetime(2026, 3, 1, tzinfo=UTC)


class Stream:
    """Messages to a topic, each a little different; every tenth is rejected."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster, self.topic, self.sent = cluster, cluster.create_topic(partitions=PARTITIONS), 0

    def send(self, count: int) -> None:
        for partition in range(PARTITIONS):
            numbers = range(self.sent + partition, self.sent + count, PARTITIONS)
            self.cluster.produce(self.topic, [self._message(n) for n in numbers], partition=partition)
        self.sent += count

    def _message(self, number: int) -> bytes:
        if number % 10 == 3:
            return b"not JSON"
        at = START + timedelta(minutes=number % 180)
        body = {"id": f"r{number}", "prompt": f"secret-{number}", "timestamp": at.isoformat()}
        return json.dumps(body | {"attributes": {"route": "ab"[number % 2]}}).encode()


@pytest.fixture
def broker(kafka_broker: Cluster) -> Iterator[Cluster]:
    """The broker with working groups in front of it, or the real cluster."""
    if os.environ.get("RISKMON_TEST_KAFKA"):
        yield kafka_broker
        return
    with grouped(kafka_broker.bootstrap, free_port()) as proxy:
        yield Proxied(proxy, kafka_broker)


class Proxied(Cluster):
    """A broker that consumers reach through the coordinator, and producers directly."""

    def __init__(self, proxy: GroupBroker, behind: Cluster) -> None:
        super().__init__(behind.bootstrap)
        self.proxy = proxy


def traffic(servers: str, topic: str, **kafka: Any) -> TrafficConfig:
    return TrafficConfig(
        kafka=KafkaConfig(
            bootstrap_servers=(servers,), topic=topic, group_id=f"{topic}-group", start="earliest", **kafka
        ),
        strata=("attributes.route",),
        sample_per_window=7,
        flush_interval=timedelta(milliseconds=200),
        max_age=None,  # the requests are of a fixed day
    )


def servers_of(broker: Cluster) -> str:
    return broker.proxy.bootstrap if isinstance(broker, Proxied) else broker.bootstrap


def wait_until(holds: Callable[[], Any], what: str, running: Intakes, within_s: float = 40.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n" + "\n".join(
            one.log for one in running.all
        )
        time.sleep(0.05)


def kept(store: Store) -> tuple[Any, ...]:
    """All that the intake leaves in a store."""
    counters = store.counters()
    volume = {(window.start, window.stratum): window.requests for window in store.volume(START)}
    sample = {
        (str(one.prompt.position), one.prompt.id, one.window_start, one.prompt.stratum, one.priority)
        for one in store.sampled_prompts(START)
    }
    return counters.consumed, counters.rejected, volume, sample


def as_one_process(stream: Stream, url: str, running: Intakes) -> tuple[Any, ...]:
    """The same topic, read by one process into a store of its own."""
    config = store_at(url)
    with open_store(config) as store:
        one = running.start(traffic(stream.cluster.bootstrap, stream.topic), config)
        wait_until(lambda: store.counters().consumed == stream.sent, "one process has read all", running)
        one.end()
        return kept(store)


def shared_by(log: str) -> set[str]:
    return {
        line.rsplit(" of ", 1)[0].rsplit("partitions ", 1)[1]
        for line in log.splitlines()
        if "reading part" in line
    }


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("rebalance", ["cooperative", "eager"])
def test_three_processes_that_come_and_go_keep_what_one_would_have_kept(
    broker: Cluster,
    postgres_url: str,
    tmp_path: Path,
    rebalance: Literal["cooperative", "eager"],
) -> None:
    stream = Stream(broker)
    group = traffic(
        servers_of(broker),
        stream.topic,
        assignment="group",
        rebalance=rebalance,
        session_timeout=timedelta(seconds=6),
    )
    config: StoreConfig = store_at(postgres_url)
    with intakes(tmp_path) as running, open_store(config) as store:

        def feed_until(holds: Callable[[], Any], what: str) -> None:
            def fed() -> Any:
                stream.send(600)
                return holds()

            wait_until(fed, what, running)

        def gains(seconds: float) -> None:
            """Messages go on being counted."""
            until = time.monotonic() + seconds
            before = store.counters().consumed
            feed_until(
                lambda: time.monotonic() > until and store.counters().consumed > before, "counting goes on"
            )

        stream.send(3000)
        first = running.start(group, config)
        feed_until(lambda: store.counters().consumed > 2000, "the first one reads")
        second = running.start(group, config)
        feed_until(lambda: shared_by(second.log), "the second one joined")
        third = running.start(group, config)
        feed_until(lambda: shared_by(third.log), "the third one joined")
        gains(2)
        second.kill()
        gains(9)  # the group evicts it, and others read its partitions
        first.end()
        gains(2)
        fourth = running.start(group, config)
        feed_until(lambda: shared_by(fourth.log), "the fourth one joined")
        third.kill()
        stream.send(1000)
        wait_until(lambda: store.counters().consumed >= stream.sent, "all is counted", running, 60)
        time.sleep(1)  # whatever were counted twice would be by now
        fourth.end()

        assert store.counters().consumed == stream.sent
        assert sum(store.next_offsets(stream.topic).values()) == stream.sent
        assert {
            partition: len(ranges) for partition, ranges in store.counted(stream.topic).items()
        } == dict.fromkeys(range(PARTITIONS), 1)
        shared = kept(store)
    with intakes(tmp_path) as running:
        alone = as_one_process(stream, f"sqlite:///{tmp_path}/alone.db", running)
    assert shared == alone
    logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))
    assert "Traceback" not in logs
    assert "secret-" not in logs


@pytest.mark.timeout(90)
def test_two_processes_share_the_partitions_and_a_name_keeps_its_place(
    broker: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    stream = Stream(broker)
    config: StoreConfig = store_at(postgres_url)

    def member(name: str) -> TrafficConfig:
        return traffic(servers_of(broker), stream.topic, assignment="group", instance_id=name)

    with intakes(tmp_path) as running, open_store(config) as store:
        stream.send(1200)
        first = running.start(member("riskmon-0"), config)
        second = running.start(member("riskmon-1"), config)
        wait_until(lambda: store.counters().consumed >= stream.sent, "all is counted", running)
        wait_until(lambda: shared_by(second.log) and shared_by(first.log), "both have partitions", running)
        second.kill()
        stream.send(1200)
        again = running.start(member("riskmon-1"), config)
        # Its session is not over, and yet its partitions are read: by itself.
        wait_until(lambda: store.counters().consumed >= stream.sent, "all is counted", running)
        assert shared_by(again.log)
        first.end()
        again.end()
        assert store.counters().consumed == stream.sent == 2400
        if isinstance(broker, Proxied):
            group = broker.proxy.groups[f"{stream.topic}-group"]
            wait_until(
                lambda: sum(group.committed.values()) > 0, "committed offsets follow for lag tools", running
            )
            assert all(
                offset <= store.next_offsets(topic)[partition]
                for (topic, partition), offset in group.committed.items()
            )
