"""A whole cycle with a real device process and store: prompts estimated together are stored as if estimated alone."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from support.calibration import settings_of
from support.store_records import NOON, batch, sampled

from riskmon.cycles import estimate_cycle
from riskmon.devices.base import Loss
from riskmon.devices.process import DeviceWorker
from riskmon.estimate.opening import open_session
from riskmon.store import open_store

TEXTS = ("ask red or blue", "good calm blue", "red and blue", "blue or calm", "calm and red and good")
PROMPTS = 14


@pytest.fixture
def config(world, tmp_path):
    """Draws of two prompts fill the batch; nothing is left for further draws."""
    return settings_of(
        world,
        tmp_path,
        estimate={"samples_per_prompt": 130, "windows": [[0, None]], "refine_limit": 1},
    )


def cycle_of(config, tmp_path, devices):
    """The summary, and per harm and prompt what was stored."""
    items = [sampled(i, (i + 1) / 99, text=TEXTS[i % len(TEXTS)]) for i in range(PROMPTS)]
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        store.write_intake(batch(items), keep=99, now=NOON)
        order = [item.prompt for item in store.pending_prompts(NOON)]
        done = estimate_cycle(store, devices, config, lambda: NOON, lambda: False, lambda: False)
        stored = [item.estimate for item in store.weighted_estimates(NOON)]
        counters = store.counters()
    assert counters.estimated_prompts == done.prompts
    assert counters.estimate_device_seconds == pytest.approx(done.device_seconds)
    return order, done, {(estimate.prompt_id, estimate.harm): estimate for estimate in stored}


def expect_as_alone(config, order, stored):
    """Every prompt has just the estimate that a session makes of it alone."""
    session = open_session(config)
    session.replan([], NOON)
    assert len(stored) == 2 * PROMPTS
    hits = 0
    for prompt in order:
        for one in session.estimate(prompt, keep=True).estimates:
            other = stored[prompt.id, one.harm]
            assert (other.n, other.hits, other.tokens) == (one.n, one.hits, one.tokens)
            assert other.p == pytest.approx(one.p, rel=1e-4)
            assert other.upper_bound == pytest.approx(one.upper_bound, rel=1e-4)
            hits += one.hits
    assert hits > 20


def test_stored_estimates_equal_those_made_one_by_one(config, tmp_path):
    devices = DeviceWorker(config)
    try:
        order, done, stored = cycle_of(config, tmp_path, devices)
        assert devices._tally.at_once == 2
    finally:
        devices.close()
    assert (done.prompts, done.left_out, done.failures, done.complete) == (PROMPTS, 0, {}, True)
    assert done.device_seconds == devices.device_seconds
    assert done.device_seconds > sum(estimate.device_seconds for estimate in stored.values()) / 2
    expect_as_alone(config, order, stored)


@pytest.mark.slow
def test_a_device_killed_half_way_through_a_cycle_changes_no_estimate(config, tmp_path, caplog):
    losses = []
    devices = DeviceWorker(config, losses.append)
    sent = devices._send

    def send(question):
        sent(question)
        if question[0] == "estimate" and len(question[1]) > 1 and not losses:
            devices._send = sent
            threading.Timer(0.02, os.kill, (devices._process.pid, signal.SIGKILL)).start()

    devices._send = send
    try:
        order, done, stored = cycle_of(config, tmp_path, devices)
    finally:
        devices.close()
    assert losses == [Loss.DIED]
    assert "prompts go again, one by one: the device worker died" in caplog.text
    assert (done.prompts, done.left_out, done.failures, done.complete) == (PROMPTS, 0, {}, True)
    expect_as_alone(config, order, stored)
