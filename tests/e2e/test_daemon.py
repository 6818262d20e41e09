"""The whole loop on a real broker, with the process killed, unplugged and drained."""

import json
import re
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from support.daemon import run, running, write_config
from support.daemon_traffic import ROUTES, kafka_traffic, messages
from support.prometheus import lint_metrics

from riskmon.store import open_store


def counted(store):
    """Requests counted per route."""
    totals = Counter()
    for window in store.volume(datetime(2026, 1, 1, tzinfo=UTC)):
        totals[window.stratum.as_dict()["route"]] += window.requests
    return totals


@pytest.mark.slow
def test_killed_half_way_it_counts_every_message_once_and_forecasts(
    kafka_broker, prometheus, world, tmp_path
):
    topic = kafka_broker.create_topic(partitions=3)
    values, sizes = messages(10_000, datetime.now(UTC))
    assert len(sizes) == 4
    config = write_config(tmp_path, world.target, traffic=kafka_traffic(kafka_broker, topic))

    def produce():
        for start in range(0, 10_000, 500):
            kafka_broker.produce(topic, values[start : start + 500], partition=start // 500 % 3)
            time.sleep(0.15)

    producer = threading.Thread(target=produce)
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        daemon.wait_until(lambda: store.traffic_status(datetime.now(UTC)) is not None, "the intake runs")
        producer.start()
        daemon.wait_until(lambda: store.counters().consumed > 3_000, "a third is counted")
        daemon.end(signal.SIGKILL)
        at_kill = store.counters().consumed
        assert 3_000 < at_kill < 10_000
        producer.join()

    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        daemon.wait_until(lambda: store.counters().consumed >= 10_000, "the rest is counted")
        assert counted(store) == sizes
        assert store.counters().consumed == 10_000

        total = 'riskmon_forecast_total_daily_harmful_outputs{harm="bad"}'
        daemon.wait_until(lambda: daemon.metric(total) is not None, "there is a forecast")
        assert daemon.metric(total) > 0
        # A forecast is held against responses as soon as there is one; none has ended here.
        scored = 'riskmon_backtest_scored_forecasts{harm="bad"}'
        daemon.wait_until(lambda: daemon.metric(scored) == 0, "the back-test ran")
        assert daemon.metric('riskmon_estimate_flagged_prompts{flag="TRUNCATED",harm="bad"}') is not None
        assert daemon.metric("riskmon_prompts_consumed_total") == 10_000
        assert daemon.metric("riskmon_kafka_lag_messages") == 0
        assert lint_metrics(daemon.get("/metrics").text) == ""
        daemon.wait_until(lambda: daemon.get("/readyz").status_code == 200, "it is ready")
        assert daemon.get("/healthz").status_code == 200
        assert "bad" in daemon.get("/").text

        watcher = prometheus(daemon.address)
        watcher.wait_for(total)
        by_route = watcher.values('riskmon_forecast_daily_requests{harm="bad"}', "route")
        assert set(by_route) == set(ROUTES)
        assert by_route["chat"] > by_route["stories"]

        # Lag tools see in the group what the store holds.
        exposition = daemon.get("/metrics").text
        assert daemon.end() == 0

    with running(config) as daemon:
        # Restored from the store before anything is estimated again.
        restored = daemon.get("/metrics").text
        for name in (
            "riskmon_forecast_total_daily_harmful_outputs",
            "riskmon_estimate_last_success_timestamp_seconds",
            "riskmon_estimate_flagged_prompts",
            "riskmon_backtest_scored_forecasts",
        ):
            assert _series(restored, name) == _series(exposition, name)
    assert "ask red" not in daemon.log


def _series(exposition, name):
    found = re.findall(rf"^{name}(?:{{.*}})? .*$", exposition, re.M)
    assert found, name
    return found


def test_once_reads_estimates_forecasts_and_ends(kafka_broker, world, tmp_path):
    topic = kafka_broker.create_topic(partitions=3)
    values, sizes = messages(600, datetime.now(UTC), seed=1)
    for partition in range(3):
        kafka_broker.produce(topic, values[partition::3], partition=partition)
    kafka_broker.produce(topic, [b"{", None, b"[]", b'{"id": 1}'])
    config = write_config(tmp_path, world.target, traffic=kafka_traffic(kafka_broker, topic))

    done = run("run", "-c", str(config), "--once")
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= {"route", "total", *ROUTES}
    with open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        assert counted(store) == sizes
        counters = store.counters()
        assert counters.consumed == 604
        assert sum(counters.rejected.values()) == 4
        assert len(counters.rejected) == 4
        cycle = store.last_complete_cycle()
        assert cycle is not None
        assert cycle.left_out == 0
        # Responses in the stream are judged with their prompts.
        outputs, harmful = counters.observed["bad"]
        assert outputs == cycle.prompts
        assert harmful <= outputs
        windows = store.history.judged_windows(datetime(2026, 1, 1, tzinfo=UTC))
        assert sum(window.judged for window in windows) == outputs
        assert sum(window.harmful for window in windows) == harmful
        assert [(test.harm, test.stratum, test.rows) for test in store.backtests()] == [("bad", None, ())]

    table = run("forecast", "-c", str(config))
    assert table.returncode == 0, table.stderr
    assert set(table.stdout.split()) >= {"route", "total", *ROUTES}
    lines = [json.loads(line) for line in run("forecast", "-c", str(config), "--json").stdout.splitlines()]
    assert [line["stratum"] for line in lines][-1] is None
    assert {line["harm"] for line in lines} == {"bad"}

    again = run("run", "-c", str(config), "--once")
    assert again.returncode == 0, again.stderr
    with open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        assert store.counters().consumed == 604


def test_a_jsonl_source_gives_the_same_records_without_kafka(kafka_broker, world, tmp_path):
    values, sizes = messages(300, datetime.now(UTC), seed=2)
    (tmp_path / "traffic.jsonl").write_bytes(b"\n".join(values) + b"\nnot json\n")
    config = write_config(
        tmp_path,
        world.target,
        traffic={"jsonl": "traffic.jsonl", "strata": ["attributes.route"], "sample_per_window": 2},
    )
    done = run("run", "-c", str(config), "--once")
    assert done.returncode == 0, done.stderr
    with open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        assert counted(store) == sizes
        assert store.counters().rejected == {"not_json": 1}


def test_unreachable_broker_is_waited_for(unplugged_broker, world, tmp_path):
    """Down at start: retried with backoff, visible everywhere; once it is there, traffic is read."""
    topic = "prompts"
    config = write_config(tmp_path, world.target, traffic=kafka_traffic(unplugged_broker, topic))
    with running(config) as daemon:
        daemon.wait_until(lambda: daemon.metric("riskmon_kafka_up") == 0, "the outage shows")
        ready = daemon.get("/readyz")
        assert ready.status_code == 503
        assert unplugged_broker.bootstrap in ready.text
        assert daemon.get("/healthz").status_code == 200
        assert "trying again in" in daemon.log

        unplugged_broker.start()
        daemon.wait_until(
            lambda: "does not exist" in daemon.get("/readyz").text, "the topic is missed by name"
        )
        assert topic in daemon.get("/readyz").text
        unplugged_broker.create_topic(topic)
        unplugged_broker.produce(topic, messages(50, datetime.now(UTC))[0])
        daemon.wait_until(lambda: daemon.metric("riskmon_prompts_consumed_total") == 50, "it is read")
        assert daemon.metric("riskmon_kafka_up") == 1

        unplugged_broker.stop()
        daemon.wait_until(lambda: daemon.metric("riskmon_kafka_up") == 0, "the second outage shows")
        assert daemon.end() == 0


def test_sigterm_drains_and_ctrl_c_says_so(kafka_broker, world, tmp_path):
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, messages(200, datetime.now(UTC))[0])
    slow = {"samples_per_prompt": 2000, "defensive_share": 0.25}
    config = write_config(
        tmp_path,
        world.target,
        estimate=slow,
        traffic=kafka_traffic(kafka_broker, topic, sample_per_window=50),
    )
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        daemon.wait_until(lambda: store.counters().estimated_prompts >= 2, "a cycle is under way")
        assert daemon.end() == 0
        done = store.counters().estimated_prompts
        cycle = store.last_cycle()
        assert cycle is not None
        assert not cycle.complete
        assert cycle.prompts == done
        assert cycle.left_out > 0
        assert store.last_complete_cycle() is None

    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        daemon.wait_until(lambda: store.counters().estimated_prompts > done, "the overdue cycle is caught up")
        assert daemon.end(signal.SIGINT) == 130


@pytest.mark.slow
def test_a_killed_worker_costs_one_prompt_and_not_the_daemon(kafka_broker, world, tmp_path):
    import os

    import psutil

    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, messages(200, datetime.now(UTC))[0])
    slow = {"samples_per_prompt": 1000, "defensive_share": 0.25}
    config = write_config(
        tmp_path, world.target, estimate=slow, traffic=kafka_traffic(kafka_broker, topic, sample_per_window=2)
    )
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        daemon.wait_until(lambda: store.counters().estimated_prompts >= 1, "a cycle is under way")
        children = psutil.Process(daemon.process.pid).children()
        worker = max(children, key=lambda child: child.memory_info().rss)
        os.kill(worker.pid, signal.SIGKILL)
        daemon.wait_until(
            lambda: store.last_complete_cycle() is not None, "the cycle is finished all the same"
        )
        cycle = store.last_complete_cycle()
        assert cycle.failures == {"worker_lost": 1}
        assert cycle.left_out == 0
        failed = 'riskmon_estimate_failures_total{reason="worker_lost"}'
        daemon.wait_until(lambda: daemon.metric(failed) == 1, "the loss is counted")
        assert daemon.metric('riskmon_worker_restarts_total{reason="died"}') == 1
        assert daemon.end() == 0


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ({"model": {"target": "/nonexistent/model", "chat_template": "none"}}, "model.target"),
        ({"publish": {"listen": "203.0.113.1:1"}}, "publish.listen"),
        ({"traffic": {"jsonl": "missing.jsonl"}}, "missing.jsonl"),
    ],
)
def test_what_the_user_can_fix_ends_the_daemon_with_a_sentence(broken, words, world, tmp_path):
    (tmp_path / "traffic.jsonl").write_text("")
    config = write_config(tmp_path, world.target, **({"traffic": {"jsonl": "traffic.jsonl"}} | broken))
    done = run("run", "-c", str(config))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
