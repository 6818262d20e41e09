"""A chaos hour in minutes: one daemon, one Prometheus with riskmon's rules, steady traffic, and fault after fault.

After each fault the same process goes on without hands; Prometheus has told of it, and the alert is gone again. At the
end every message is counted, once.

What an hour is in the rules is half a minute here. The clock is set through a library that the daemon is
started with, the disk is a small tmpfs.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import yaml
from support.chaos import PROMPTS, Judge, Traffic, held, locked
from support.clock import Clock
from support.daemon import RunningDaemon, running, write_config
from support.full_disk import Disk, disk
from support.judge_endpoint import Reply, serve
from support.kafka import EmbeddedBroker
from support.prometheus import PrometheusServer, StartPrometheus
from support.worlds import World

from riskmon.config_file import load_config
from riskmon.publish.rules import render_rules
from riskmon.records import CycleSummary
from riskmon.store import Store, open_store

OUTAGE_S = 15.0
HEALTH_FOR_S = 8
CYCLE_WITHIN_S = 150.0
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FAULTS = "|".join(
    f"Riskmon{name}"
    for name in ("Absent", "StoreDown", "KafkaDown", "JudgeFailing", "WorkerRestarting", "JobFailing")
)


class Watch:
    """The daemon as those on call see it."""

    def __init__(self, daemon: RunningDaemon, store: Store, server: PrometheusServer) -> None:
        self.daemon, self.store, self._server = daemon, store, server

    def until(self, holds: Callable[[], Any], what: str, within_s: float = 60.0) -> Any:
        found = self.daemon.wait_until(holds, what, within_s)
        assert self.daemon.get("/healthz").status_code == 200
        return found

    def firing(self, names: str = FAULTS) -> list[dict[str, str]]:
        """Labels of the alerts that fire."""
        found = self._server.query(f'ALERTS{{alertname=~"{names}",alertstate="firing"}}')
        return [row["metric"] for row in found]

    def told(self, name: str, within_s: float = 60.0, **labels: str) -> None:
        """Wait for an alert."""
        self.until(
            lambda: [one for one in self.firing(name) if labels.items() <= one.items()],
            f"{name} {labels} fires",
            within_s,
        )

    def quiet(self, within_s: float = 60.0) -> None:
        """Wait until no alert on a fault fires, and messages are counted."""
        consumed = self.store.counters().consumed
        self.until(lambda: not self.firing(), "the alerts are gone", within_s)
        self.until(lambda: self.store.counters().consumed > consumed, "counting goes on")
        self.until(lambda: self.daemon.get("/readyz").status_code == 200, "it is ready")

    def next_forecast(self) -> datetime:
        """Wait for one that is made from now on."""
        before = self.store.last_forecast_at()
        self.until(lambda: self.store.last_forecast_at() != before, "there is a new forecast", 90)
        made_at = self.store.last_forecast_at()
        assert made_at is not None
        return made_at

    def next_cycle(self) -> CycleSummary:
        """Wait for the end of another complete cycle."""
        before = self.store.last_complete_cycle()
        self.until(lambda: self.store.last_complete_cycle() != before, "a complete cycle", CYCLE_WITHIN_S)
        done = self.store.last_complete_cycle()
        assert done is not None
        return done

    def cycle_under_way(self) -> psutil.Process:
        """Wait for a cycle that has estimated something and has not ended; gives the device worker."""
        begun, done = self.daemon.log.count("prompts waiting"), self.store.counters().estimated_prompts
        self.until(
            lambda: (
                self.daemon.log.count("prompts waiting") > begun
                and self.store.counters().estimated_prompts > done
            ),
            "a cycle is under way",
            CYCLE_WITHIN_S,
        )
        children = psutil.Process(self.daemon.process.pid).children()
        return max(children, key=lambda child: child.memory_info().rss)


def compressed(rules: str) -> str:
    """Spans that no setting shortens: what the last hour, or the last cycle, failed at is that of half a minute."""
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        for rule in group["rules"]:
            if re.search("Job|Judge|Worker", rule.get("alert", "")):
                rule["expr"] = re.sub(r"\[(?:1h|1m40s)\]", "[30s]", rule["expr"])
    return str(yaml.safe_dump(document))


def configure(folder: Path, store: Path, model: Path, broker: EmbeddedBroker, topic: str, judge: str) -> Path:
    openai = {"kind": "openai", "url": judge, "model": "guard", "rubric": "is it bad?"}
    patience = {"timeout": "1s", "retries": 1, "concurrency": 8}
    return write_config(
        folder,
        model,
        harms=[{"name": "bad", "judge": openai | patience}],
        estimate={
            "samples_per_prompt": 40,
            "defensive_share": 0.25,
            "schedule": "* * * * *",
            "device_budget": "10s",
            "deadline": "40s",
        },
        forecast={"schedule": "* * * * *", "draws": 200},
        traffic={
            "kafka": {"bootstrap_servers": [broker.bootstrap], "topic": topic, "start": "earliest"},
            "window": "10s",
            "sample_per_window": 2,
            "flush_interval": "200ms",
        },
        store={"url": f"sqlite:///{store}"},
        rules={"health_for": f"{HEALTH_FOR_S}s", "job_failures": 1, "worker_restarts": 1},
        sensitivity={"schedule": None},
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_chaos_hour_in_minutes(
    unplugged_broker: EmbeddedBroker, prometheus: StartPrometheus, world: World, tmp_path: Path
) -> None:
    unplugged_broker.start()
    topic = unplugged_broker.create_topic()
    model = tmp_path / "model"
    model.symlink_to(world.target)
    judge, clock = Judge(), Clock.build(tmp_path)
    with disk(tmp_path / "disk") as small, serve(judge) as endpoint:
        file = small.folder / "riskmon.db"
        config = configure(tmp_path, file, model, unplugged_broker, topic, endpoint.url)
        traffic = Traffic(unplugged_broker, topic)
        with running(config, **clock.environment) as daemon, open_store(f"sqlite:///{file}") as store:
            rules = compressed(render_rules(load_config(config)))
            watch = Watch(daemon, store, prometheus(daemon.address, rules))
            watch.until(lambda: store.last_forecast_at() is not None, "there is a forecast", 120)
            watch.quiet()

            broker_is_away(watch, unplugged_broker)
            store_is_locked(watch, file)
            disk_is_full(watch, file, small)
            judge_fails(watch, judge)
            worker_is_killed(watch)
            model_is_away(watch, model)
            clock_is_set(watch, clock)

            sent = traffic.end()
            assert held(unplugged_broker, topic) == sent
            daemon.wait_until(lambda: store.counters().consumed >= sent, "all is counted", 30)
            time.sleep(2)  # whatever were counted twice would be by now
            assert store.counters().consumed == sent
            assert sum(window.requests for window in store.volume(EPOCH)) == sent
            assert sum(store.counters().rejected.values()) == 0
            assert daemon.end() == 0
        assert "Traceback" not in daemon.log
        assert not [prompt for prompt in PROMPTS if prompt in daemon.log]


def broker_is_away(watch: Watch, broker: EmbeddedBroker) -> None:
    broker.stop()
    stopped = time.monotonic()
    watch.until(lambda: watch.daemon.metric("riskmon_kafka_up") == 0, "the metric says so")
    watch.told("RiskmonKafkaDown")
    assert watch.daemon.get("/readyz").status_code == 503
    time.sleep(max(0.0, stopped + OUTAGE_S - time.monotonic()))
    broker.start()
    watch.quiet()
    assert watch.daemon.metric("riskmon_kafka_up") == 1
    watch.next_forecast()


def store_is_locked(watch: Watch, file: Path) -> None:
    with locked(file):
        begun = time.monotonic()
        store_is_unwritable(watch)
        time.sleep(max(0.0, begun + OUTAGE_S - time.monotonic()))
    watch.quiet()


def disk_is_full(watch: Watch, file: Path, small: Disk) -> None:
    connection = sqlite3.connect(file)  # else the log has room of its own
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    small.fill(watch.daemon.process.pid)
    store_is_unwritable(watch)
    small.free(watch.daemon.process.pid)
    watch.quiet()
    watch.next_forecast()


def store_is_unwritable(watch: Watch) -> None:
    watch.told("RiskmonStoreDown", reason="unwritable")
    stood = watch.daemon.metric("riskmon_store_last_write_timestamp_seconds")
    assert stood is not None
    assert time.time() - stood > HEALTH_FOR_S
    assert watch.daemon.metric("riskmon_store_up") == 1  # readers do not wait


def judge_fails(watch: Watch, judge: Judge) -> None:
    for broken in (Reply(status=500), Reply("0", delay_s=5.0)):
        before = unreadable(watch)
        judge.broken = broken
        verdicts_fail(watch, before)
        watch.told("RiskmonJudgeFailing", harm="bad")
        watch.next_cycle()
    judge.broken = None
    watch.next_cycle()
    before = unreadable(watch)
    watch.quiet()
    assert unreadable(watch) == before


def unreadable(watch: Watch) -> float:
    found = watch.daemon.metric('riskmon_judge_unreadable_verdicts_total{harm="bad"}')
    assert found is not None
    return found


def verdicts_fail(watch: Watch, before: float) -> None:
    watch.until(lambda: unreadable(watch) > before, "verdicts cannot be read", CYCLE_WITHIN_S)


def worker_is_killed(watch: Watch) -> None:
    restarts = 'riskmon_worker_restarts_total{reason="died"}'
    before = watch.daemon.metric(restarts) or 0
    os.kill(watch.cycle_under_way().pid, signal.SIGKILL)
    done = watch.next_cycle()  # the same one
    assert done.failures == {"worker_lost": 1}
    assert done.left_out == 0
    watch.told("RiskmonWorkerRestarting")
    assert watch.daemon.metric(restarts) == before + 1
    watch.quiet()


def model_is_away(watch: Watch, model: Path) -> None:
    failures = 'riskmon_job_failures_total{task="load"}'
    before = watch.daemon.metric(failures) or 0
    worker = watch.cycle_under_way()
    away = model.rename(model.with_name("away"))
    os.kill(worker.pid, signal.SIGKILL)
    watch.told("RiskmonJobFailing", task="load")
    assert (watch.daemon.metric(failures) or 0) > before
    assert watch.daemon.get("/readyz").status_code == 503
    away.rename(model)
    watch.next_cycle()
    watch.quiet()


def clock_is_set(watch: Watch, clock: Clock) -> None:
    clock_goes(watch, clock, 3600, "was set forward by 3600 s")
    clock_goes(watch, clock, 0, "was set back by 3600 s")
    watch.next_cycle()
    watch.quiet()


def clock_goes(watch: Watch, clock: Clock, ahead_s: int, words: str) -> None:
    clock.set(ahead_s)
    watch.until(lambda: words in watch.daemon.log, words)
    made_at = watch.next_forecast()
    assert abs(made_at.timestamp() - time.time() - ahead_s) < 60
