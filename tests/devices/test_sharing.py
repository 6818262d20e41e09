"""Rests for others, from the driver's figures to the metric: real processes, only the GPU's driver is built for it."""

import json
import time
from datetime import timedelta

import pytest
from prometheus_client import generate_latest
from support.estimates import world_config
from support.nvml import UUID
from support.snapshots import FACTS
from support.store_records import NOON, batch, sampled
from support.worlds import PROMPT

from riskmon.cycles import estimate_cycle
from riskmon.devices.process import DeviceWorker
from riskmon.errors import WorkerLost
from riskmon.estimate.opening import open_session
from riskmon.publish.metrics.collector import build_registry
from riskmon.records import Prompt, Snapshot
from riskmon.store import open_store

BUSY = (80, {"self": 50, 4242: 80})
CALM = (5, {"self": 50, 4242: 5})
SHARING = {"max_utilization": 0.3, "gpu": UUID, "check_every": "50ms", "smoothing": "1ms"}


def never():
    return False


@pytest.fixture
def config(world):
    config = world_config(world.target, world.experts, sharing=SHARING, samples=100, refine_limit=1)
    return config.model_copy(update={"logging": config.logging.model_copy(update={"format": "json"})})


@pytest.fixture
def worker(config):
    worker = DeviceWorker(config)
    yield worker
    worker.close()


def test_a_cycle_rests_until_others_have_done_and_says_how_long(driver, config, worker, tmp_path, capfd):
    """Busy from the start; calm once half a second of rest was heard of, while nothing has come back yet."""
    driver.show(*BUSY)
    worker.start(never)
    assert worker.paused_seconds == 0  # nobody waits for a model to load because others are busy
    prompts = [sampled(i, (i + 1) / 10, text=PROMPT) for i in range(3)]

    def watch():
        if worker.paused_seconds > 0.5:
            driver.show(*CALM)
        return False

    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        store.write_intake(batch(prompts), keep=9, now=NOON)
        started = time.monotonic()
        done = estimate_cycle(store, worker, config, lambda: NOON + timedelta(minutes=5), never, watch)
        wall = time.monotonic() - started
        counters = store.counters()
        stored = [item.estimate for item in store.weighted_estimates(NOON)]
    assert done is not None
    assert (done.prompts, done.complete) == (3, True)
    assert worker.paused_seconds > 0.5
    assert done.device_seconds + worker.paused_seconds < wall
    assert counters.estimate_device_seconds == pytest.approx(done.device_seconds)
    assert counters.estimate_paused_seconds == pytest.approx(worker.paused_seconds)
    shown = generate_latest(build_registry(lambda: Snapshot(NOON, counters=counters), lambda: FACTS)).decode()
    assert f"riskmon_estimate_paused_seconds_total {counters.estimate_paused_seconds}" in shown

    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    said = [line for line in lines if "utilization" in line]
    assert [line["message"].split(":")[0].split(" after")[0] for line in said] == [
        "estimation rests",
        "estimation goes on",
    ]
    assert said[0]["utilization"] == pytest.approx(0.8)

    driver.show(*CALM)
    alone = {(e.prompt_id, e.harm): e.p for e in open_session(config).estimate(prompts[0].prompt).estimates}
    assert len(alone) == 3
    rested = {(e.prompt_id, e.harm): e.p for e in stored if e.prompt_id == prompts[0].prompt.id}
    assert rested == pytest.approx(alone, rel=1e-4)


def test_a_device_that_is_ended_while_it_rests_has_not_worked(driver, worker):
    driver.show(*CALM)
    worker.start(never)
    driver.show(*BUSY)
    begun = time.monotonic()
    with pytest.raises(WorkerLost, match="overran its deadline"):
        list(worker.estimate([Prompt("a", PROMPT)], begun + 3, never))
    assert worker.paused_seconds > 2
    assert worker.device_seconds < 1
