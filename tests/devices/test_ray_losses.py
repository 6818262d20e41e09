"""What becomes of a cycle's prompts when actors of a real Ray cluster die, hang or cannot load; slow, as each case
loads models anew."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
from support.estimates import world_config
from support.ray_cluster import (
    actors,
    at_work,
    kill,
    kill_whoever_gets,
    members,
    never,
    on_ray,
    prompts,
    soon,
)

from riskmon.devices.base import Loss
from riskmon.devices.ray.devices import RayDevices
from riskmon.errors import ModelUnavailable, WorkerLost

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(world):
    return on_ray(world_config(world.target, world.experts))


@pytest.fixture(scope="module")
def endless(world):
    """Prompts take longer than any test waits."""
    return on_ray(world_config(world.target, world.experts, samples=400_000))


def estimated(results):
    return sorted(result.prompt.id for result in results if result.estimates)


def test_both_are_killed_and_their_replacements_finish(config):
    with actors(config) as (devices, losses):
        results = []
        for result in devices.estimate(iter(prompts(30)), soon(), never):
            results.append(result)
            if len(results) == 8:
                for member in members(devices):
                    kill(member)
        assert estimated(results) == sorted(prompt.id for prompt in prompts(30))
        assert losses == [Loss.DIED] * 2


def test_a_prompt_that_kills_whoever_gets_it_is_left_out(config, caplog):
    with actors(config) as (devices, losses):
        killed = kill_whoever_gets(devices, "p7")
        results = list(devices.estimate(iter(prompts(20)), soon(), never))
        (left_out,) = [result for result in results if result.failure]
        assert (left_out.prompt.id, left_out.failure) == ("p7", "worker_lost")
        assert estimated(results) == sorted(prompt.id for prompt in prompts(20) if prompt.id != "p7")
        assert losses == [Loss.DIED] * len(killed)
        assert 2 <= len(killed) <= 3  # perhaps with others, then alone on two different ones
        assert "prompt 'p7' left out: an actor on " in caplog.text


def test_where_every_one_dies_the_stream_ends(config):
    with actors(config) as (devices, losses):
        ask = devices._crew.ask

        def ask_and_kill(member, question, expected):
            ask(member, question, expected)
            kill(member)

        devices._crew.ask = ask_and_kill
        with pytest.raises(WorkerLost, match=r"an actor on \S+ died|no actor is left"):
            list(devices.estimate(iter(prompts(30)), soon(), never))
        assert len(losses) == 6
        # The next cycle begins with a full crew.
        devices._crew.ask = ask
        assert len(estimated(devices.estimate(iter(prompts(4)), soon(), never))) == 4


def test_beyond_the_deadline_those_at_work_are_ended_and_begin_anew(endless):
    with actors(endless) as (devices, losses):
        before = {member.pid for member in members(devices)}
        with pytest.raises(WorkerLost, match="deadline"):
            list(devices.estimate(iter(prompts(2)), soon(4), never))
        assert losses == [Loss.DEADLINE] * 2
        assert devices.device_seconds > 4  # of work that is lost
        until = soon()
        while len(devices._crew.idle) < 2:
            devices._crew.next(until, never)
        assert not before & {member.pid for member in members(devices)}
        assert not any(psutil.pid_exists(pid) and not _ended(pid) for pid in before)


def test_a_stop_ends_everything_and_is_no_loss(endless):
    with actors(endless) as (devices, losses):
        link = devices._crew._link
        tree = psutil.Process(link._process.pid).children(recursive=True)
        with pytest.raises(WorkerLost, match="stopped"):
            list(devices.estimate(iter(prompts(2)), soon(), lambda: bool(at_work(devices))))
        psutil.wait_procs(tree, timeout=10)
        assert all(_ended(process.pid) for process in tree)
        assert not losses


def test_everything_ends_with_the_process_that_holds_the_connection(config):
    """Ray ends its driver with a cluster that goes away; the daemon must outlive both."""
    with actors(config) as (devices, losses):
        hub = psutil.Process(devices._crew._link._process.pid)
        tree = [child for child in hub.children(recursive=True) if holds_a_device(child)]
        assert tree
        results = devices.estimate(iter(prompts(30)), soon(), never)
        next(results)
        hub.kill()
        with pytest.raises(WorkerLost, match="connection to Ray died"):
            list(results)
        psutil.wait_procs(tree, timeout=15)
        assert all(_ended(process.pid) for process in tree)
        assert losses == [Loss.DIED]
        # And it comes back with the next question.
        assert len(estimated(devices.estimate(iter(prompts(3)), soon(), never))) == 3


def test_everything_ends_with_a_daemon_that_is_killed(world, tmp_path):
    script, file = tmp_path / "daemon.py", tmp_path / "c.yaml"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from riskmon.config_file import load_config\n"
        "from riskmon.devices.opening import open_devices\n"
        "if __name__ == '__main__':\n"
        "    devices = open_devices(load_config(Path(sys.argv[1])))\n"
        "    print(devices.start(lambda: False).device, flush=True)\n"
        "    time.sleep(60)\n"
    )
    file.write_text(
        f"model: {{target: {world.target}, chat_template: none, max_new_tokens: 3}}\n"
        "judge: {kind: regex, pattern: bad}\n"
        "devices: {kind: ray, address: local, actors: 1}\n"
    )
    daemon = subprocess.Popen([sys.executable, script, file], stdout=subprocess.PIPE, text=True)
    assert daemon.stdout.readline() == "ray: 1 actor (cpu)\n"
    tree = [child for child in psutil.Process(daemon.pid).children(recursive=True) if holds_a_device(child)]
    assert tree
    daemon.kill()
    daemon.wait()
    psutil.wait_procs(tree, timeout=20)
    assert all(_ended(process.pid) for process in tree)


def test_a_model_that_does_not_load_is_the_users_to_fix(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    devices = RayDevices(on_ray(world_config(tmp_path)))
    with pytest.raises(ModelUnavailable, match=r"model\.target"):
        devices.start(never)
    assert not devices._crew.joined


def test_actors_without_a_place_are_waited_for_only_so_long(world):
    """A GPU is asked for, and this machine has none."""
    config = on_ray(world_config(world.target, world.experts), start_timeout="40s")
    config = config.model_copy(update={"model": config.model.model_copy(update={"device": "cuda"})})
    devices = RayDevices(config)
    with pytest.raises(WorkerLost, match=r"no actor came up within 40 s .* no GPU on 1 node"):
        devices.start(never)


def holds_a_device(process):
    """Actors do; two small helpers of Ray's outlive a hub that is killed by up to a minute."""
    return process.cmdline()[0].startswith("ray::Estimator")


def _ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
