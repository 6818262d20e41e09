"""The device worker as a real process: it estimates, refuses, dies, overruns and follows its parent."""

import json
import os
import signal
import subprocess
import sys
import threading
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


@pytest.fixture(scope="module")
def shared(config):
    """A worker for tests that leave it alive."""
    worker = DeviceWorker(config)
    yield worker
    worker.close()


@pytest.fixture
def worker(config, losses):
    worker = DeviceWorker(config, losses.append)
    yield worker
    worker.close()


def soon(seconds=60.0):
    return time.monotonic() + seconds


def named(*names):
    for name in names:
        yield Prompt(name, PROMPT)


def noting(prompts, taken):
    """The same stream; writes down which prompts were taken."""
    for prompt in prompts:
        taken.append(prompt.id)
        yield prompt


def alone(worker, prompt, deadline=None):
    """The result of one prompt."""
    (result,) = worker.estimate([prompt], deadline or soon(), never)
    return result


def test_it_gives_what_the_session_gives(worker, config, capfd, monkeypatch):
    """One process throughout; a reloaded log level reaches it with the next question."""
    monkeypatch.setattr(logs, "_role", "estimate")
    info = worker.start(never)
    assert info.device == "cpu"
    assert info.contrasts["unsafe"] > 0
    assert len(info.judges) == 3
    process = worker._process
    there = alone(worker, Prompt("a", PROMPT)).estimates
    here = open_session(config).estimate(Prompt("a", PROMPT)).estimates
    # Another process may add up floats in another order.
    assert [e.p for e in there] == pytest.approx([e.p for e in here], rel=1e-4)
    assert [e.hits for e in there] == [e.hits for e in here]

    def warnings(level):
        logging_of = config.logging.model_copy(update={"level": level, "format": "json"})
        worker.configure(config.model_copy(update={"logging": logging_of}))
        assert alone(worker, Prompt("long", PROMPT * 2_000)).failure == "too_long"
        return [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]

    # What it warns of is written in its daemon's role, then not, then again.
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
    assert worker._process is None


# ---- streams


def test_a_prompt_is_asked_for_only_when_the_device_is_free(shared):
    """As many as fill the batch; whoever feeds the stream may end it at any time."""
    names, taken = ["a", "b", "c", "d", "e", "f"], []
    stream = shared.estimate(noting(named(*names), taken), soon(), never)
    assert next(stream).prompt.id == "a"
    assert taken == ["a"]  # what one costs is not known before
    next(stream)
    together = shared._tally.at_once
    assert together == 2  # 256 rows on a CPU, 200 draws a prompt
    assert taken == names[: 1 + together]


def test_a_stream_that_is_given_up_half_way_leaves_no_answers_behind(shared):
    stream = shared.estimate(named("a", "b", "c"), soon(), never)
    next(stream)
    assert next(stream).prompt.id == "b"
    stream.close()
    assert shared._owed == 1
    assert alone(shared, Prompt("d", PROMPT)).prompt.id == "d"


def test_further_draws_come_in_the_order_asked_for(shared, config):
    names = ["a", "b", "c", "d"]
    prompts = {result.prompt.id: result.prompt for result in shared.estimate(named(*names), soon(), never)}
    asked = [(prompts["c"], 50), (Prompt("never seen", PROMPT), 50), (prompts["a"], 70)]
    found = list(shared.refine(asked, soon(), never))
    here = open_session(config)
    here.estimate_many([prompts[name] for name in names], keep=True)
    assert found[1] is None
    for result, (prompt, draws) in ((found[0], asked[0]), (found[2], asked[2])):
        own = here.refine(prompt, draws)
        assert result.prompt.id == prompt.id
        assert [e.n for e in result.estimates] == [e.n for e in own.estimates]
        assert [e.p for e in result.estimates] == pytest.approx([e.p for e in own.estimates], rel=1e-3)


# ---- losses


def test_a_prompt_that_is_alone_on_a_killed_worker_is_left_out_and_the_next_one_starts_another(
    worker, losses
):
    (first,) = worker.estimate(named("a"), soon(), never)
    seconds = worker.device_seconds
    assert seconds >= first.estimates[0].device_seconds > 0
    os.kill(worker._process.pid, signal.SIGKILL)
    lost, done = worker.estimate(named("b", "c"), soon(), never)
    assert (lost.prompt.id, lost.failure) == ("b", "worker_lost")
    assert "died" in lost.message
    assert done.prompt.id == "c"
    assert losses == [Loss.DIED]
    # The new process counts from zero, and the worker's own count goes on.
    assert worker.device_seconds >= seconds + done.estimates[0].device_seconds
    assert worker.paused_seconds == 0

    # What the first process had drawn is gone with it, so that estimate stands.
    (again,) = worker.refine([(first.prompt, 50)], soon(), never)
    assert again is None
    os.kill(worker._process.pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match="died"):
        list(worker.refine([(done.prompt, 50)], soon(), never))
    assert list(worker.refine([(done.prompt, 50)], soon(), never)) == [None]
    assert worker._process is None  # nothing is loaded for an answer that is known


def test_killed_half_way_every_prompt_is_estimated_once(world, losses):
    """Five are under way together: those go again, one by one, and give what they would have given."""
    config = world_config(world.target, world.experts, samples=1000, batch_rows=5000)
    names = [f"p{number}" for number in range(11)]
    worker = DeviceWorker(config, losses.append)
    taken, killed = [], []
    sent = worker._send

    def send(question):
        sent(question)
        if len(question[1]) == 5 and not killed:
            killed.append(worker._process.pid)
            # Half-way: it has the question, and has not answered all of it.
            threading.Timer(0.3, os.kill, (worker._process.pid, signal.SIGKILL)).start()

    worker._send = send
    try:
        found = list(worker.estimate(noting(named(*names), taken), soon(), never))
    finally:
        worker.close()
    assert killed
    assert losses == [Loss.DIED]
    assert sorted(result.prompt.id for result in found) == sorted(names)
    assert taken == names
    here = open_session(config)
    for result in found:
        assert result.failure is None
        for one, other in zip(result.estimates, here.estimate(result.prompt).estimates, strict=True):
            assert (one.hits, one.n) == (other.hits, other.n)
            assert one.p == pytest.approx(other.p, rel=1e-3)


def test_beyond_the_deadline_it_is_ended(worker, losses):
    worker.start(never)
    process = worker._process
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(WorkerLost, match="deadline"):
        list(worker.estimate(named("a", "b"), soon(0.5), never))
    assert not process.is_alive()
    assert losses == [Loss.DEADLINE]
    assert worker.device_seconds >= 0.5  # lost work counts for as long as it was waited for


def test_a_stop_abandons_the_prompt_and_is_no_loss(world, losses):
    worker = DeviceWorker(world_config(world.target, world.experts, samples=200_000), losses.append)
    worker.start(never)
    process = worker._process
    with pytest.raises(WorkerLost, match="stopped"):
        list(worker.estimate(named("a"), soon(), lambda: True))
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
