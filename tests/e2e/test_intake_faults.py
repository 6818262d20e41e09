"""Faults while messages come in, with the intake alone: after each, what was produced is what is counted, exactly.

Real processes, the embedded broker, and faults as they come: a SIGKILL, a broker that is away, a store that is locked
or has no room, another reader, a clock that is set.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.chaos import PROMPTS, Traffic, held, locked
from support.clock import Clock
from support.full_disk import disk
from support.intake_process import IntakeProcess, Intakes, intakes
from support.kafka import EmbeddedBroker
from support.store_keys import store_at

from riskmon.config import KafkaConfig, StoreConfig, TrafficConfig
from riskmon.store import Store, open_store

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
RECOVERS_WITHIN_S = 45.0


@dataclass
class Scene:
    """What a fault is done to."""

    broker: EmbeddedBroker
    traffic: TrafficConfig
    config: StoreConfig
    store: Store
    running: Intakes
    intake: IntakeProcess
    sender: Traffic

    def stop_broker(self) -> None:
        with self.sender.paused():
            self.broker.stop()

    def restart(self) -> None:
        self.intake = self.running.start(self.traffic, self.config)

    def until(self, holds: Callable[[], Any], what: str, within_s: float = RECOVERS_WITHIN_S) -> None:
        deadline = time.monotonic() + within_s
        while not holds():
            logs = "\n".join(one.log for one in self.running.all)
            assert time.monotonic() < deadline, f"not within {within_s} s: {what}\n{logs}"
            time.sleep(0.05)

    def goes_on(self, messages: int = 20) -> None:
        """Wait until so many more messages are counted."""
        before = self.store.counters().consumed
        self.until(lambda: self.store.counters().consumed >= before + messages, "counting goes on")


Fault = Callable[[Scene], None]


def counted_exactly(
    broker: EmbeddedBroker,
    folder: Path,
    fault: Fault,
    *,
    store_in: Path | None = None,
    **environment: str,
) -> None:
    """Let messages come, do something bad, and compare what was sent with what is counted."""
    broker.start()
    topic = broker.create_topic()
    config = store_at(f"sqlite:///{store_in or folder}/risk.db")
    traffic = TrafficConfig(
        kafka=KafkaConfig(bootstrap_servers=(broker.bootstrap,), topic=topic, start="earliest"),
        sample_per_window=5,
        window=timedelta(seconds=10),
        flush_interval=timedelta(milliseconds=200),
    )
    sender = Traffic(broker, topic)
    with intakes(folder) as running, open_store(config) as store:
        first = running.start(traffic, config, **environment)
        scene = Scene(broker, traffic, config, store, running, first, sender)
        scene.goes_on()
        fault(scene)
        scene.goes_on()
        sent = sender.end()
        assert held(broker, topic) == sent
        scene.until(lambda: store.counters().consumed >= sent, "all is counted")
        time.sleep(1)  # whatever were counted twice would be by now
        scene.intake.end()
        counters = store.counters()
        requests = sum(window.requests for window in store.volume(EPOCH))
        assert requests + sum(counters.rejected.values()) == counters.consumed == sent
        assert store.counted(topic) == {0: [(0, sent)]}
        logs = "".join(one.log for one in running.all)
        assert "Traceback" not in logs
        assert not [prompt for prompt in PROMPTS if prompt in logs]


def is_killed(times: int) -> Fault:
    def fault(scene: Scene) -> None:
        for number in range(times):
            time.sleep(number * 0.07)  # at another moment of a batch each time
            scene.intake.kill()
            scene.restart()
            scene.goes_on()

    return fault


def broker_restarts(scene: Scene) -> None:
    scene.stop_broker()
    scene.broker.start()


def another_reads_the_same(scene: Scene) -> None:
    """A second process that was not meant to be: both read every partition, and each message counts for one."""
    second = scene.running.start(scene.traffic, scene.config)
    scene.until(lambda: "resume from the stored offsets" in second.log + scene.intake.log, "they meet")
    scene.goes_on(100)
    second.end()


def is_locked(seconds: float) -> Fault:
    def fault(scene: Scene) -> None:
        with locked(Path(scene.config.url.removeprefix("sqlite:///"))):
            time.sleep(seconds)

    return fault


def broker_is_away(seconds: float) -> Fault:
    def fault(scene: Scene) -> None:
        scene.stop_broker()
        time.sleep(seconds)
        scene.broker.start()

    return fault


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_killed_in_the_middle_of_a_batch(
    times: int, unplugged_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    counted_exactly(unplugged_broker, tmp_path, is_killed(times))


def test_a_broker_that_restarts_and_one_that_is_away_for_a_while(
    unplugged_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    def both(scene: Scene) -> None:
        broker_restarts(scene)
        scene.goes_on()
        broker_is_away(2)(scene)

    counted_exactly(unplugged_broker, tmp_path, both)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_broker_that_is_away_for_a_minute(unplugged_broker: EmbeddedBroker, tmp_path: Path) -> None:
    counted_exactly(unplugged_broker, tmp_path, broker_is_away(60))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_two_readers_of_one_partition(unplugged_broker: EmbeddedBroker, tmp_path: Path) -> None:
    counted_exactly(unplugged_broker, tmp_path, another_reads_the_same)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_store_that_is_locked_for_longer_than_a_writer_waits(
    unplugged_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    def fault(scene: Scene) -> None:
        is_locked(36)(scene)
        assert "reading goes on, and the batch is tried again" in scene.intake.log

    counted_exactly(unplugged_broker, tmp_path, fault)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_disk_that_is_full_for_half_a_minute(unplugged_broker: EmbeddedBroker, tmp_path: Path) -> None:
    with disk(tmp_path / "disk") as small:

        def fault(scene: Scene) -> None:
            file = scene.config.url.removeprefix("sqlite:///")
            connection = sqlite3.connect(file)  # else the log has room of its own
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            small.fill(scene.intake.process.pid)
            time.sleep(30)
            assert "the batch is tried again" in scene.intake.log
            small.free(scene.intake.process.pid)

        counted_exactly(unplugged_broker, tmp_path, fault, store_in=small.folder)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_clock_that_is_set_forward_and_back(unplugged_broker: EmbeddedBroker, tmp_path: Path) -> None:
    clock = Clock.build(tmp_path)

    def fault(scene: Scene) -> None:
        for ahead_s in (3600, -7200, 0):
            clock.set(ahead_s)
            scene.goes_on()

    counted_exactly(unplugged_broker, tmp_path, fault, **clock.environment)
