"""Commands over a Ray cluster as a user runs them."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.daemon import run, running, write_config
from support.kafka import free_port
from support.worlds import World

from riskmon.cli import main
from riskmon.config_file import load_config
from riskmon.store import open_store

RAY = {"kind": "ray", "address": "local", "actors": 2}
TEXTS = ("ask red or blue", "good calm red", "calm or good")


def write_traffic(folder: Path, count: int) -> None:
    now = datetime.now(UTC).timestamp()
    lines = [
        {"id": f"r{i}", "prompt": TEXTS[i % len(TEXTS)], "timestamp": now - 60 - i / 10} for i in range(count)
    ]
    (folder / "traffic.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_cluster_that_does_not_answer_ends_it_in_seconds(world: World, tmp_path: Path) -> None:
    write_traffic(tmp_path, 1)
    address = f"127.0.0.1:{free_port()}"
    config = write_config(
        tmp_path,
        world.target,
        devices={"kind": "ray", "address": address},
        traffic={"jsonl": "traffic.jsonl"},
    )
    begun = time.monotonic()
    done = run("run", "-c", str(config), "--once")
    assert time.monotonic() - begun < 60
    assert done.returncode == 2
    assert f"devices.address is {address}, where nothing answers (Connection refused)" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_ray_it_says_what_to_install(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, world.target, devices=RAY)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"id": "a", "prompt": "ask red or blue"}\n')
    found = importlib.util.find_spec

    def without_ray(name: str, package: str | None = None) -> Any:
        return None if name == "ray" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_ray)
    monkeypatch.setattr(sys, "argv", ["riskmon", "estimate", str(prompts), "-c", str(config)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "pip install 'riskmon[ray]'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_cycle_that_loses_an_actor_half_way_stores_what_one_process_does(
    world: World, tmp_path: Path
) -> None:
    made = {}
    write_traffic(tmp_path, 24)  # one file: a prompt's draws follow from where it was read
    for name, devices in (("local", {"kind": "local"}), ("ray", RAY)):
        config = write_config(
            tmp_path,
            world.target,
            devices=devices,
            estimate={"samples_per_prompt": 1000, "refine_share": 0},
            traffic={"jsonl": "traffic.jsonl"},
            store={"url": f"sqlite:///{name}.db"},
        )
        with running(config, "--once") as daemon:
            if name == "ray":
                kill_one_at_work(daemon.process.pid)
            assert daemon.process.wait(200) == 0, daemon.log
        assert "Traceback" not in daemon.log
        with open_store(load_config(config).store) as store:
            cycle = store.last_complete_cycle()
            assert cycle is not None
            assert (cycle.prompts, dict(cycle.failures), cycle.left_out) == (24, {}, 0)
            assert cycle.device_seconds > 0
            assert sum(store.counters().worker_losses.values()) == (name == "ray")
            since = datetime.now(UTC) - timedelta(days=1)
            made[name] = {one.estimate.prompt_id: one.estimate.p for one in store.weighted_estimates(since)}
    assert len(made["local"]) == 24
    assert made["ray"] == pytest.approx(made["local"], rel=1e-4)


@pytest.mark.slow
def test_estimate_writes_its_lines_in_the_order_of_the_file(world: World, tmp_path: Path) -> None:
    config = write_config(tmp_path, world.target, devices=RAY)
    prompts = tmp_path / "prompts.jsonl"
    lines = [{"id": f"p{i}", "prompt": TEXTS[i % len(TEXTS)]} for i in range(30)]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = run("estimate", str(prompts), "-c", str(config))
    assert done.returncode == 0, done.stderr
    written = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["prompt_id"] for line in written] == [f"p{i}" for i in range(30)]
    assert "30 of 30" in done.stderr
    assert "ray" not in done.stderr.lower()


@pytest.mark.slow
def test_the_doctor_says_what_the_cluster_has(world: World, tmp_path: Path) -> None:
    config = write_config(tmp_path, world.target, devices=RAY)
    done = run("doctor", "-c", str(config))
    assert (
        "devices: Ray cluster (local) with no GPU on 1 node; devices.actors is 2: 2 actors, each with the model on "
        "the CPU" in " ".join(done.stdout.split())
    )


def kill_one_at_work(daemon: int) -> None:
    """Wait until an actor of a daemon is at a question, and kill it."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for process in psutil.Process(daemon).children(recursive=True):
            try:
                title = process.cmdline()
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if title and title[0].startswith("ray::Estimator.ask"):
                os.kill(process.pid, signal.SIGKILL)
                return
        time.sleep(0.02)
    raise AssertionError("no actor was asked anything")
