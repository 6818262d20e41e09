"""One estimate cycle: plans from earlier hits, production responses, every prompt's draws, more where they matter.

Reads the store, asks the devices, writes the store. A cycle may end at any point (budget, deadline, signal, lost
devices): what is finished is in the store, and the summary says what was left out.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from datetime import datetime

from riskmon.config import Config
from riskmon.cycles.device import CycleDevices
from riskmon.cycles.refinement import refine
from riskmon.cycles.responses import judge_responses
from riskmon.devices.base import Devices
from riskmon.errors import WorkerLost
from riskmon.estimate.cycle import summarize_cycle
from riskmon.estimate.feed import Feed
from riskmon.jobs import Clock, Stop, stored_hits
from riskmon.records import CycleSummary, PromptResult, SampledPrompt
from riskmon.store import Store

log = logging.getLogger(__name__)

# Prompts taken into memory for one cycle; far more than any device budget reaches.
_CYCLE_PROMPTS = 5_000
# Hits read for one choice of plans, over all strata and harms; bounds memory at a few hundred MB.
_PLAN_HITS = 20_000


def estimate_cycle(
    store: Store, devices: Devices, config: Config, clock: Clock, stop: Stop, give_up: Stop
) -> CycleSummary | None:
    """Estimate the sampled prompts that wait, within the device budget.

    First the plans are chosen from the hits of earlier cycles. Production responses are judged, as many as there is a
    budget for. Then every prompt gets its draws, in an order of which any prefix is a fair sample; each is stored as
    soon as it and all before it are done. What the budget has left goes to the prompts that matter most to the
    forecast. The budget counts all that devices do meanwhile.

    Args:
        stop: asked before each prompt; a True ends the cycle early, when what is under way is done.
        give_up: asked while prompts are under way; a True abandons them.

    Returns:
        What was done, as stored; None when no prompt was waiting, though responses may have been.

    Raises:
        StoreUnavailable: the store cannot be read or written; what was stored stays.
        UserError: a device that had to be started again can no longer load the model.
    """
    started_at = clock()
    since = started_at - config.forecast.lookback
    waiting = store.pending_prompts(since, _CYCLE_PROMPTS)
    responses = store.unjudged_responses(since, config.estimate.responses.judge_per_cycle)
    device = CycleDevices(devices, config, give_up)
    if not waiting:
        if responses:
            _only_responses(store, device, config, responses, started_at, clock, stop)
        return None
    log.info("estimate cycle: %d prompts waiting", len(waiting), extra={"waiting": len(waiting)})
    cycle = store.begin_cycle(started_at)
    results: list[PromptResult] = []
    try:
        _choose_plans(store, device, config, started_at)
        judge_responses(store, device, config, responses, clock, stop)
        # Without a pilot nothing says where further draws would help, so nothing is held back for them.
        refines = config.experts and config.estimate.pilot_samples
        held_back = config.estimate.refine_share if refines else 0.0
        prompts = (item.prompt for item in waiting)
        feed = Feed(prompts, device.spent, device.budget_s * (1 - held_back), device.deadline, stop)
        for done in devices.estimate(feed.stream(), device.deadline, give_up):
            for result in feed.take(done):
                store.write_result(cycle, result, clock())
                device.count_paused(store)
                results.append(dataclasses.replace(result, hits=()))  # they are in the store, and large
        refine(store, device, feed, config, cycle, waiting, results, clock, stop)
    except WorkerLost as exc:
        device.broken_off = True
        log.error("estimate cycle broken off: %s", exc, extra={"job": "estimate"})
    store.trim_hits(config.estimate.hits_kept)
    summary = summarize_cycle(
        results,
        [harm.name for harm in config.all_harms],
        asked=len(waiting),
        device_seconds=device.spent(),
        started_at=started_at,
        finished_at=clock(),
        complete=not device.broken_off and not stop(),
    )
    store.finish_cycle(cycle, summary)
    device.count_overhead(store, results)
    log.info(
        "estimate cycle: %d prompts estimated, %d failed, %d left out, %.1f device seconds%s",
        summary.prompts,
        sum(summary.failures.values()),
        summary.left_out,
        summary.device_seconds,
        f", {device.paused:.1f} at rest for others" if device.paused else "",
        extra={
            "prompts": summary.prompts,
            "failed": sum(summary.failures.values()),
            "failures": summary.failures,
            "left_out": summary.left_out,
            "tokens": summary.tokens,
            "device_seconds": summary.device_seconds,
            "paused_seconds": device.paused,
            "complete": summary.complete,
        },
    )
    return summary


def _choose_plans(store: Store, device: CycleDevices, config: Config, now: datetime) -> None:
    """Have the worker choose plans from stored hits, and store what it chose."""
    hits = stored_hits(store, config, _PLAN_HITS, now) if config.estimate.adapt else []
    try:
        plans = device.devices.replan(hits, now, device.deadline, device.give_up)
    except WorkerLost as exc:
        if device.hopeless():
            raise
        # A fault in the choice must not end every cycle: the device is started anew, with the first plan.
        log.error("no plan could be chosen from %d hits, so the first plan is used: %s", len(hits), exc)
        return
    store.write_plans(plans)
    log.info("plan of the cycle: %s", plans[0].reason, extra={"hits": len(hits)})


def _only_responses(
    store: Store,
    device: CycleDevices,
    config: Config,
    responses: Sequence[SampledPrompt],
    now: datetime,
    clock: Clock,
    stop: Stop,
) -> None:
    """Judge responses where no prompt waits: no cycle, so that the last one's health stays in view."""
    try:
        _choose_plans(store, device, config, now)
        judge_responses(store, device, config, responses, clock, stop)
    except WorkerLost as exc:
        log.error("judging of production responses broken off: %s", exc, extra={"job": "estimate"})
    device.count_overhead(store, [])
