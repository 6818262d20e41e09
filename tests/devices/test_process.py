"""The device worker as a real process: it estimates, refuses, dies, overruns and follows its parent."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from support.estimates import world_config
from support.worlds import PROMPT

from riskmon import logs
from riskmon.devices.base import Loss
from riskmon.devices.process import DeviceWorker
from riskmon.errors import ModelUnavailable, WorkerLost
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt


def never():
    return False


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, world.experts)


@pytest.fixture
def losses():
    return []


@pytest.fixture
def worker(config, losses):
    worker = DeviceWorker(config, losses.append)
    yield worker
    worker.close()


def soon(seconds=60.0):
    return time.monotonic() + seconds


def test_it_gives_what_the_session_gives(worker, config):
    info = worker.start(never)
    assert info.device == "cpu"
    assert info.contrasts["unsafe"] > 0
    assert len(info.judges) == 3
    there = worker.estimate(Prompt("a", PROMPT), soon(), never).estimates
    here = open_session(config).estimate(Prompt("a", PROMPT)).estimates
    # Another process may add up floats in another order.
    assert [e.p for e in there] == pytest.approx([e.p for e in here], rel=1e-4)
    assert [e.hits for e in there] == [e.hits for e in here]


def test_a_reloaded_log_level_reaches_it_with_the_next_question(worker, config, capfd, monkeypatch):
    """One process throughout, that speaks in its daemon's role; what it warns of is written, then not, then again."""
    monkeypatch.setattr(logs, "_role", "estimate")
    worker.start(never)
    process = worker._process

    def warnings(level):
        logging_of = config.logging.model_copy(update={"level": level, "format": "json"})
        worker.configure(config.model_copy(update={"logging": logging_of}))
        assert worker.estimate(Prompt("long", PROMPT * 2_000), soon(), never).failure == "too_long"
        return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]

    (line,) = warnings("info")
    assert (line["prompt_id"], line["reason"], line["process"]) == ("long", "too_long", "riskmon-device")
    assert line["role"] == "estimate"
    assert warnings("error") == []
    assert len(warnings("debug")) == 1
    assert worker._process is process


def test_a_model_that_does_not_load_is_the_users_to_fix(world, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    worker = DeviceWorker(world_config(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"model\.target"):
        worker.start(never)
    assert not multiprocessing.active_children()


def test_a_killed_worker_is_lost_and_the_next_prompt_starts_another(worker, losses):
    worker.start(never)
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match="died"):
        worker.estimate(Prompt("a", PROMPT), soon(), never)
    assert worker.estimate(Prompt("b", PROMPT), soon(), never).estimates
    assert losses == [Loss.DIED]


def test_beyond_the_deadline_it_is_ended(world, losses):
    worker = DeviceWorker(world_config(world.target, world.experts, samples=200_000), losses.append)
    worker.start(never)
    process = worker._process
    with pytest.raises(WorkerLost, match="deadline"):
        worker.estimate(Prompt("a", PROMPT), soon(0.5), never)
    assert not process.is_alive()
    assert losses == [Loss.DEADLINE]


def test_a_stop_abandons_the_prompt_and_is_no_loss(world, losses):
    worker = DeviceWorker(world_config(world.target, world.experts, samples=200_000), losses.append)
    worker.start(never)
    process = worker._process
    with pytest.raises(WorkerLost, match="stopped"):
        worker.estimate(Prompt("a", PROMPT), soon(), lambda: True)
    assert not process.is_alive()
    assert losses == []


def test_it_ends_with_its_parent_even_when_that_is_killed(world, tmp_path):
    """An orphan would hold the device."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from riskmon.config_file import load_config\n"
        "from riskmon.devices.process import DeviceWorker\n"
        "if __name__ == '__main__':\n"
        "    worker = DeviceWorker(load_config(Path(sys.argv[1])))\n"
        "    worker.start(lambda: False)\n"
        "    print(worker._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    file = tmp_path / "c.yaml"
    file.write_text(
        f"model: {{target: {world.target}, chat_template: none, max_new_tokens: 3}}\n"
        "judge: {kind: regex, pattern: bad}\n"
    )
    parent = subprocess.Popen([sys.executable, script, file], stdout=subprocess.PIPE, text=True)
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
