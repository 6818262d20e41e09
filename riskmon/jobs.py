"""The flow on one page: traffic -> sample -> estimate -> forecast, each stage meeting the next in the store.

Every job reads the store, calls its stage and writes the store. Nothing here knows of threads, schedules or HTTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime

import numpy as np

from riskmon.config import Config, TrafficConfig
from riskmon.errors import WorkerLost
from riskmon.estimate.cycle import run_cycle, summarize_cycle
from riskmon.forecast import make_forecasts
from riskmon.records import CycleSummary, Forecast, Prompt, PromptResult
from riskmon.store import Store
from riskmon.traffic.intake import Intake
from riskmon.traffic.source import Source
from riskmon.worker import DeviceWorker

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Stop = Callable[[], bool]

# Prompts taken into memory for one cycle; far more than any device budget reaches.
_CYCLE_PROMPTS = 5_000
# Losses of the worker in one cycle after which the fault is no longer taken for a single prompt's.
_WORKER_LOSSES = 3
_STATUS_EVERY_S = 2.0


def follow_traffic(
    source: Source,
    store: Store,
    config: TrafficConfig,
    lookback_start: datetime,
    clock: Clock,
    stop: Stop,
    *,
    to_end: bool = False,
) -> None:
    """Count and sample traffic until told to stop; with `to_end`, until all that existed at the start is read.

    Counts, sample and offsets of a batch are written in one transaction. After any error the caller starts this
    again: reading then resumes from the stored offsets, so nothing is counted twice or lost.

    Raises:
        TrafficUnavailable: the source cannot be reached.
        StoreUnavailable: the store cannot be written.
    """
    keep = config.sample_per_window
    source.start(store.next_offsets(source.topic))
    if to_end:
        source.mark_end()
    intake = Intake(source, config, store.strata(), store.thresholds(keep, lookback_start))
    reported = -np.inf
    while not stop():
        batch = intake.collect(clock())
        if batch.consumed or batch.next_offsets:
            store.write_intake(batch, keep=keep, now=clock())
            source.committed({partition: offset for (_, partition), offset in batch.next_offsets.items()})
        if time.monotonic() - reported >= _STATUS_EVERY_S or source.caught_up():
            store.write_traffic_status(source.status(clock()))
            reported = time.monotonic()
        if source.caught_up():
            return


def estimate_cycle(
    store: Store, worker: DeviceWorker, config: Config, clock: Clock, stop: Stop, give_up: Stop
) -> CycleSummary | None:
    """Estimate the sampled prompts that wait, within the device budget; every finished prompt is stored at once.

    Args:
        stop: asked before each prompt; a True ends the cycle early.
        give_up: asked while a prompt is under way; a True abandons it.

    Returns:
        What was done, as stored; None when no prompt was waiting.

    Raises:
        StoreUnavailable: the store cannot be read or written; what was stored stays.
        UserError: a worker that had to be restarted can no longer load the model.
    """
    started_at = clock()
    waiting = store.pending_prompts(started_at - config.forecast.lookback, _CYCLE_PROMPTS)
    if not waiting:
        return None
    log.info("estimate cycle: %d prompts waiting", len(waiting))
    deadline = time.monotonic() + config.estimate.deadline.total_seconds()
    losses = 0

    def ask(prompt: Prompt) -> PromptResult:
        nonlocal losses
        try:
            return worker.estimate(prompt, deadline, give_up)
        except WorkerLost as exc:
            losses += 1
            if give_up() or time.monotonic() > deadline or losses >= _WORKER_LOSSES:
                raise
            log.error("prompt %r left out: %s", prompt.id, exc)
            return PromptResult(prompt, failure=WorkerLost.reason, message=str(exc))

    cycle = store.begin_cycle(started_at)
    results: list[PromptResult] = []
    broken_off = False
    try:
        for result in run_cycle((item.prompt for item in waiting), ask, config.estimate.device_budget, stop):
            store.write_result(cycle, result, clock())
            results.append(result)
    except WorkerLost as exc:
        broken_off = True
        log.error("estimate cycle broken off: %s", exc)
    summary = summarize_cycle(
        results,
        [harm.name for harm in config.all_harms],
        asked=len(waiting),
        started_at=started_at,
        finished_at=clock(),
        complete=not broken_off and not stop(),
    )
    store.finish_cycle(cycle, summary)
    log.info(
        "estimate cycle: %d prompts estimated, %d failed, %d left out, %.1f device seconds",
        summary.prompts,
        sum(summary.failures.values()),
        summary.left_out,
        summary.device_seconds,
    )
    return summary


def forecast(store: Store, config: Config, command: str, now: datetime) -> list[Forecast]:
    """Forecast the next 24 hours from what the store holds, and store it; empty before there are estimates."""
    made = preview_forecast(store, config, command, now)
    if made:
        store.write_forecasts(made)
    return made


def preview_forecast(store: Store, config: Config, command: str, now: datetime) -> list[Forecast]:
    """Forecast the next 24 hours from what the store holds, and leave the store as it is."""
    traffic = config.require_traffic(command)
    since = now - config.forecast.lookback - traffic.window
    return make_forecasts(
        config.forecast,
        window=traffic.window,
        windows=store.volume(since),
        estimates=store.weighted_estimates(since),
        harms=[harm.name for harm in config.all_harms],
        now=now,
        # One stream per moment: two processes that forecast at the same time say the same.
        rng=np.random.default_rng([config.estimate.seed, int(now.timestamp())]),
    )


def purge(store: Store, config: Config, now: datetime) -> int:
    """Forget prompts, counts and estimates beyond the retention; returns how many prompts were forgotten."""
    forgotten = store.purge(now - config.store.retention)
    if forgotten:
        log.info("purged %d prompts older than %s", forgotten, config.store.retention)
    return forgotten
