"""Intake, estimate and publish as processes of their own, which meet in a store."""

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import psutil
import pytest
from support.daemon import run, running, write_config
from support.prometheus import lint_metrics
from support.store_keys import store_at

from riskmon.store import open_store

TOTAL = 'riskmon_forecast_total_daily_harmful_outputs{harm="bad"}'
NO_MODEL = {"target": "/nonexistent/model", "chat_template": "none", "max_new_tokens": 5}


def messages(count):
    now = datetime.now(UTC)
    return [
        json.dumps(
            {
                "id": f"r{i}",
                "prompt": ["ask red or blue", "good calm red", "red and blue"][i % 3],
                "timestamp": (now - timedelta(seconds=(i * 37) % 10_800)).timestamp(),
            }
        ).encode()
        for i in range(count)
    ]


class Deployment:
    """Configurations of the three roles over one store and one topic."""

    def __init__(self, folder, world, broker, url, **sections):
        self.topic = broker.create_topic()
        self.folder = folder
        self.settings = {
            "traffic": {
                "kafka": {"bootstrap_servers": [broker.bootstrap], "topic": self.topic, "start": "earliest"},
                "sample_per_window": 3,
                "flush_interval": "100ms",
            },
            "store": {"url": url},
            "sensitivity": {"schedule": None},
            "logging": {"format": "json"},
            **sections,
        }
        self.target = world.target
        where = store_at(url)
        if where.key is not None:
            self.settings["store"]["key"] = where.key.get_secret_value()
        self.open = lambda: open_store(where)

    def config(self, name, **sections):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return write_config(folder, self.target, **(self.settings | sections))


def roles_of(log):
    """Roles named by the lines of a log."""
    return {json.loads(line)["role"] for line in log.splitlines()}


@contextmanager
def no_process_of(folder):
    """Whatever runs with a configuration of a folder is gone at the end."""
    yield
    left = [p for p in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(p.info["cmdline"] or ())]
    assert left == []


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_three_processes_make_one_forecast(kafka_broker, world, tmp_path, request, database):
    url = (
        f"sqlite:///{tmp_path}/riskmon.db"
        if database == "sqlite"
        else request.getfixturevalue("postgres_url")
    )
    whole = Deployment(tmp_path, world, kafka_broker, url)
    kafka_broker.produce(whole.topic, messages(200))
    # Neither the intake nor the publisher has the model.
    intake_config = whole.config("intake", model=NO_MODEL, experts=[])
    publish_config = whole.config("publish", model=NO_MODEL, experts=[])
    with (
        running(intake_config, "--role", "intake") as intake,
        running(publish_config, "--role", "publish") as publish,
    ):
        publish.wait_until(lambda: publish.metric("riskmon_prompts_consumed_total") == 200, "all is counted")
        intake.wait_until(lambda: intake.get("/readyz").status_code == 200, "the intake is ready")
        publish.wait_until(lambda: publish.get("/readyz").status_code == 200, "the publisher is ready")
        assert intake.get("/healthz").json()["loops"] == ["intake"]
        assert publish.get("/healthz").json()["loops"] == ["scheduler"]
        assert publish.metric(TOTAL) is None

        with no_process_of(whole.folder / "estimate"):
            done = run("run", "-c", str(whole.config("estimate")), "--role", "estimate", "--once")
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert roles_of(done.stderr) == {"estimate"}
        publish.wait_until(lambda: publish.metric(TOTAL) is not None, "there is a forecast")
        assert publish.metric(TOTAL) > 0
        assert "there is a new estimate cycle" in publish.log
        assert publish.metric("riskmon_kafka_up") == publish.metric("riskmon_kafka_readers") == 1
        assert publish.metric('riskmon_role_info{role="publish"}') == 1
        assert intake.metric('riskmon_role_info{role="intake"}') == 1
        assert intake.metric("riskmon_prompts_consumed_total") is None

        # Nothing waits now, so the device is left alone.
        again = run("run", "-c", str(intake_config), "--role", "estimate", "--once")
        assert again.returncode == 0, again.stderr
        assert "no prompt waits for an estimate" in again.stderr

        assert intake.end() == 0
        publish.wait_until(lambda: publish.metric("riskmon_kafka_up") == 0, "nothing reads any more")
        assert publish.metric("riskmon_kafka_readers") == 0
        assert "ended in order" in publish.get("/api/v1/health").json()["traffic"]["detail"]
        assert publish.end() == 0
        assert roles_of(intake.log) == {"intake"}
        assert roles_of(publish.log) == {"publish"}
    assert "ask red" not in intake.log + publish.log + done.stderr


@pytest.mark.slow
def test_an_estimate_that_stays_keeps_its_model_and_catches_up(world, tmp_path):
    (tmp_path / "traffic.jsonl").write_bytes(b"\n".join(messages(20)))
    config = write_config(
        tmp_path,
        world.target,
        traffic={"jsonl": "traffic.jsonl", "sample_per_window": 1},
        logging={"format": "json"},
        sensitivity={"schedule": None},
    )
    assert run("run", "-c", str(config), "--role", "intake", "--once").returncode == 0
    with (
        running(config, "--role", "estimate") as daemon,
        open_store(f"sqlite:///{tmp_path}/riskmon.db") as store,
    ):
        daemon.wait_until(lambda: daemon.get("/readyz").status_code == 200, "the model is loaded")
        daemon.wait_until(lambda: store.last_complete_cycle() is not None, "the overdue cycle is caught up")
        assert daemon.get("/healthz").json()["loops"] == ["scheduler"]
        assert daemon.get("/").status_code == 404
        assert daemon.metric('riskmon_role_info{role="estimate"}') == 1
        assert store.last_forecast_at() is None
        assert lint_metrics(daemon.get("/metrics").text) == ""
        assert daemon.end() == 0
        assert store.leases.read("device") is None
    assert roles_of(daemon.log) == {"estimate"}


@pytest.mark.slow
def test_an_estimate_that_was_killed_is_followed_by_the_next(kafka_broker, world, tmp_path):
    slow = {"samples_per_prompt": 2000, "defensive_share": 0.25}
    whole = Deployment(tmp_path, world, kafka_broker, f"sqlite:///{tmp_path}/riskmon.db", estimate=slow)
    kafka_broker.produce(whole.topic, messages(60))
    assert run("run", "-c", str(whole.config("intake")), "--role", "intake", "--once").returncode == 0
    config = whole.config("estimate")
    with whole.open() as store:
        with running(config, "--role", "estimate", "--once") as first:
            first.wait_until(lambda: store.counters().estimated_prompts >= 2, "a cycle is under way")
            children = psutil.Process(first.process.pid).children()
            worker = max(children, key=lambda child: child.memory_info().rss)
            worker.suspend()  # a device that hangs: the cycle lasts as long as it does
            # A second one sees that the first one lives, and leaves the device alone.
            second = run("run", "-c", str(config), "--role", "estimate", "--once")
            assert second.returncode == 0, second.stderr
            assert "one process at a time estimates on a store" in second.stderr
            first.end(signal.SIGKILL)
            worker.resume()
            psutil.wait_procs(children, timeout=10)
            assert not any(child.is_running() for child in children)
        at_kill = store.counters().estimated_prompts
        waiting = len(store.pending_prompts(datetime.now(UTC) - timedelta(days=1)))
        assert waiting > 0
        third = run("run", "-c", str(config), "--role", "estimate", "--once")
        assert third.returncode == 0, third.stderr
        assert store.counters().estimated_prompts == at_kill + waiting
        assert store.last_complete_cycle().prompts == waiting
        assert store.leases.read("device") is None


@pytest.mark.slow
def test_an_estimate_without_its_model_is_the_users_to_fix(kafka_broker, world, tmp_path):
    whole = Deployment(tmp_path, world, kafka_broker, f"sqlite:///{tmp_path}/riskmon.db")
    kafka_broker.produce(whole.topic, messages(5))
    config = str(whole.config("all", model=NO_MODEL, logging={}))
    assert run("run", "-c", config, "--role", "intake", "--once").returncode == 0
    done = run("run", "-c", config, "--role", "estimate", "--once")
    assert done.returncode == 2, done.stderr
    assert "model.target" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_unknown_role_is_refused_with_those_that_are_known(world, tmp_path):
    config = str(write_config(tmp_path, world.target, traffic={"jsonl": "traffic.jsonl"}))
    done = run("run", "-c", config, "--role", "reader")
    assert done.returncode == 2
    assert "'reader' is not one of 'all', 'intake', 'estimate', 'publish'" in " ".join(done.stderr.split())


def test_no_role_but_the_device_worker_loads_torch(world, tmp_path):
    """A process of its own, since this one has it already."""
    (tmp_path / "traffic.jsonl").write_bytes(b"\n".join(messages(20)))
    config = write_config(tmp_path, world.target, traffic={"jsonl": "traffic.jsonl"}, model=NO_MODEL)
    code = (
        f"import sys; sys.argv = ['riskmon', 'run', '-c', {str(config)!r}, '--role', sys.argv[1], '--once']\n"
        "from riskmon.cli import main\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "print('LOADED', *sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    for role in ("intake", "publish"):
        done = subprocess.run([sys.executable, "-c", code, role], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "LOADED"
    with open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        assert store.counters().consumed == 20
