"""SIGHUP to a real daemon: what changes without a restart, what does not, and what a broken file does."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from support.daemon import COMMAND, running, write_config
from support.prometheus import lint_metrics

from riskmon.store import open_store

BUDGET = 'riskmon_risk_budget_daily_harmful_outputs{harm="bad"}'
EXPECTED = 'riskmon_forecast_total_daily_harmful_outputs{harm="bad"}'
SUCCESSFUL = "riskmon_config_last_reload_successful"
LOADED_AT = "riskmon_config_last_reload_success_timestamp_seconds"
NEVER = "0 0 29 2 *"


@pytest.fixture
def config(world, tmp_path):
    """A daemon with traffic, whose jobs are so scheduled that none runs by itself after the first cycle."""
    now = datetime.now(UTC).timestamp()
    lines = [
        {"id": f"r{i}", "prompt": ["ask red or blue", "good calm red"][i % 2], "timestamp": now - 60 - i}
        for i in range(30)
    ]
    (tmp_path / "traffic.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return write_config(
        tmp_path,
        world.target,
        traffic={"jsonl": "traffic.jsonl", "sample_per_window": 2},
        estimate={"samples_per_prompt": 40, "defensive_share": 0.25, "schedule": NEVER},
        forecast={"schedule": NEVER},
        sensitivity={"schedule": None},
        logging={"level": "info", "format": "json"},
    )


def edit(file, **sections):
    """Change values of some sections, and leave the rest of the file."""
    data = yaml.safe_load(file.read_text())
    for name, value in sections.items():
        data[name] = data.get(name, {}) | value if isinstance(value, dict) else value
    file.write_text(yaml.safe_dump(data))


def entries(daemon):
    """The log as collectors read it."""
    found = []
    for line in daemon.log.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def reloads(daemon):
    return [entry for entry in entries(daemon) if "configuration" in entry["message"]]


def hang_up(daemon):
    """Send SIGHUP, and wait for what the log says of it."""
    before = len(reloads(daemon))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_until(lambda: len(reloads(daemon)) > before, "the reload is told of")
    return reloads(daemon)[-1]


def harm(**changes):
    return [{"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}, "budget_daily": 100} | changes]


def test_a_reload_changes_what_it_can_and_names_what_it_cannot(config):
    with running(config) as daemon:
        assert daemon.metric(BUDGET) == 100
        assert daemon.metric(SUCCESSFUL) == 1
        assert daemon.metric(LOADED_AT) == pytest.approx(time.time(), abs=90)
        started = daemon.metric(LOADED_AT)

        edit(config, harms=harm(budget_daily=7), forecast={"schedule": "0 0 * * *"})
        told = hang_up(daemon)
        assert told["changed"] == ["harms[bad].budget_daily", "forecast.schedule"]
        assert daemon.metric(BUDGET) == 7
        after = daemon.metric(LOADED_AT)
        assert after > started

        config_before = config.read_text()
        config.write_text(config_before + "budjet: 5\n")
        told = hang_up(daemon)
        assert told["level"] == "ERROR"
        assert "was not reloaded" in told["message"]
        assert "unknown key 'budjet'" in told["message"]
        assert daemon.metric(SUCCESSFUL) == 0
        assert daemon.metric(LOADED_AT) == after
        assert daemon.metric(BUDGET) == 7
        assert "refused at the last reload" in daemon.get("/").text

        config.write_text(config_before)
        edit(config, harms=harm(budget_daily=8, threshold=0.9), publish={"listen": "127.0.0.1:1"})
        hang_up(daemon)
        daemon.wait_until(lambda: "needs a restart" in daemon.log, "what stays is named")
        warning = [entry for entry in entries(daemon) if "needs_restart" in entry][-1]
        assert warning["level"] == "WARNING"
        assert warning["needs_restart"] == ["harms[bad].threshold", "publish.listen"]
        assert daemon.metric(BUDGET) == 8
        assert daemon.metric(SUCCESSFUL) == 1
        assert "harms[bad].threshold, publish.listen" in daemon.get("/").text
        assert lint_metrics(daemon.get("/metrics").text) == ""
        assert daemon.get("/healthz").status_code == 200
        assert daemon.end() == 0
    assert "ask red" not in daemon.log


@pytest.mark.slow
def test_a_new_schedule_and_log_level_come_into_force(config, tmp_path):
    """A crontab counts in minutes, so this waits for up to one."""
    with running(config) as daemon, open_store(f"sqlite:///{tmp_path}/riskmon.db") as store:
        daemon.wait_until(lambda: store.last_forecast_at() is not None, "there is a first forecast")
        first = store.last_forecast_at()
        edit(config, forecast={"schedule": "* * * * *"}, logging={"level": "debug"})
        assert hang_up(daemon)["changed"] == ["forecast.schedule", "logging.level"]
        daemon.wait_until(lambda: store.last_forecast_at() > first, "a forecast on the new schedule")
        found = daemon.wait_until(
            lambda: [entry for entry in entries(daemon) if entry["message"].startswith("forecast of bad")],
            "it is told of",
        )
        assert found[0]["level"] == "DEBUG"
        daemon.wait_until(
            lambda: daemon.metric(EXPECTED) == pytest.approx(found[-1]["expected"]), "it is published"
        )
        assert daemon.end() == 0
    assert "ask red" not in daemon.log


def test_a_second_signal_and_one_while_the_model_loads(config):
    with running(config) as daemon:
        daemon.wait_until(lambda: "serving on" in daemon.log, "it serves, and loads the model")
        assert "model loaded" not in daemon.log
        daemon.process.send_signal(signal.SIGTERM)
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.end(signal.SIGTERM) == 0
        assert daemon.log.count("stopping: finishing what is under way") == 1
        assert "ERROR" not in daemon.log


def test_a_hangup_during_the_start_does_not_end_it(config):
    with running(config) as daemon:
        while "serving on" not in daemon.log and daemon.process.poll() is None:
            if ignores(daemon.process.pid, signal.SIGHUP):
                daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.05)
        assert daemon.get("/healthz").status_code in (200, 503)
        assert daemon.end() == 0


def ignores(pid, number):
    (mask,) = re.findall(r"SigIgn:\s+(\w+)", Path(f"/proc/{pid}/status").read_text())
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_it_ends_with_the_terminal_it_runs_at(config):
    """A shell's terminal goes away: that is no reload."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "run", "-c", str(config)],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    ) as process:
        os.close(terminal)
        try:
            seen = b""
            while b"serving on" not in seen:
                seen += os.read(controller, 4096)
            os.close(controller)  # every process of the terminal sees it gone
            process.send_signal(signal.SIGHUP)
            assert process.wait(15) == 0
        finally:
            process.kill()
