"""A Ray cluster that is not ours: joined by its address, left alone when we go, and survived when it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.estimates import world_config
from support.kafka import free_port
from support.ray_cluster import actors, never, on_ray, prompts, soon
from support.worlds import World

from riskmon.devices.base import Loss
from riskmon.devices.ray.link import survey
from riskmon.errors import ClusterUnusable, WorkerLost

pytestmark = pytest.mark.slow


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The head of a cluster on this machine, in a process group of its own, and its address."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # listen on 127.0.0.1 only
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "5c" * 32)
    address = f"127.0.0.1:{free_port()}"
    options = ["--block", "--include-dashboard=false", "--num-cpus=2", "--object-store-memory=100000000"]
    command = [
        str(Path(sys.executable).parent / "ray"),
        "start",
        "--head",
        f"--port={address[10:]}",
        *options,
    ]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [*command, f"--temp-dir={folder}/ray"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
        )
        try:
            for _ in range(30):
                try:
                    survey(on_ray(world_config(Path(folder)), address=address))
                    break
                except ClusterUnusable:
                    assert process.poll() is None
            yield process, address
        finally:
            tree = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(tree, timeout=15)
            for left in alive:
                left.kill()
            process.kill()
            process.wait()


def test_it_is_joined_left_alone_and_survived(
    head: tuple[subprocess.Popen[bytes], str], world: World
) -> None:
    process, address = head
    config = on_ray(world_config(world.target, world.experts), address=address)
    assert str(survey(config)) == "no GPU on 1 node"
    with actors(config) as (devices, losses):
        assert len(list(devices.estimate(iter(prompts(6)), soon(), never))) == 6
        assert not losses
        devices.close()
        assert str(survey(config)) == "no GPU on 1 node"  # still there
        # Actors are back with the next question; then the whole node goes away.
        results = devices.estimate(iter(prompts(400)), soon(), never)
        next(results)
        for part in psutil.Process(process.pid).children(recursive=True):
            part.kill()
        with pytest.raises(WorkerLost):
            list(results)
        assert set(losses) == {Loss.DIED}
        with pytest.raises(ClusterUnusable, match="nothing answers"):
            list(devices.estimate(iter(prompts(1)), soon(), never))
