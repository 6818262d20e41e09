"""One estimate cycle: plans from earlier hits, production responses, every prompt's draws, more where they matter.

Reads the store, asks the device worker, writes the store. A cycle may end at any point (budget, deadline, signal, a
lost worker): what is finished is in the store, and the summary says what was left out.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from riskmon.config import Config
from riskmon.devices.process import DeviceWorker
from riskmon.errors import WorkerLost
from riskmon.estimate.cycle import plan_refinement, run_cycle, summarize_cycle
from riskmon.jobs import Clock, Stop, stored_hits
from riskmon.records import CycleSummary, Prompt, PromptResult, SampledPrompt, Stratum
from riskmon.records.observed import Observation
from riskmon.store import Store

log = logging.getLogger(__name__)

# Prompts taken into memory for one cycle; far more than any device budget reaches.
_CYCLE_PROMPTS = 5_000
# Hits read for one choice of plans, over all strata and harms; bounds memory at a few hundred MB.
_PLAN_HITS = 20_000
# Part of a cycle's deadline that judging production responses may take: a slow judge must leave time to draw.
_RESPONSES_SHARE = 0.1
# Responses in a row without anything readable: the judge is away, and the rest waits for it instead of being given up.
_JUDGE_AWAY = 3
# Losses of the worker in one cycle after which the fault is no longer taken for a single prompt's.
_WORKER_LOSSES = 3


def estimate_cycle(
    store: Store, worker: DeviceWorker, config: Config, clock: Clock, stop: Stop, give_up: Stop
) -> CycleSummary | None:
    """Estimate the sampled prompts that wait, within the device budget; every finished prompt is stored at once.

    First the plans are chosen from the hits of earlier cycles. Production responses are judged, as many as there is a
    budget for. Then every prompt gets its draws, in an order of which any prefix is a fair sample. What the budget has
    left goes to the prompts that matter most to the forecast.

    Args:
        stop: asked before each prompt; a True ends the cycle early.
        give_up: asked while a prompt is under way; a True abandons it.

    Returns:
        What was done, as stored; None when no prompt was waiting, though responses may have been.

    Raises:
        StoreUnavailable: the store cannot be read or written; what was stored stays.
        UserError: a worker that had to be restarted can no longer load the model.
    """
    started_at = clock()
    since = started_at - config.forecast.lookback
    waiting = store.pending_prompts(since, _CYCLE_PROMPTS)
    responses = store.unjudged_responses(since, config.estimate.responses.judge_per_cycle)
    device = _Device(worker, time.monotonic() + config.estimate.deadline.total_seconds(), give_up)
    if not waiting:
        if responses:
            _only_responses(store, device, config, responses, started_at, clock, stop)
        return None
    log.info("estimate cycle: %d prompts waiting", len(waiting), extra={"waiting": len(waiting)})
    cycle = store.begin_cycle(started_at)
    results: list[PromptResult] = []
    try:
        _choose_plans(store, device, config, started_at)
        _judge_responses(store, device, config, responses, clock, stop)
        # Without a pilot nothing says where further draws would help, so nothing is held back for them.
        refines = config.experts and config.estimate.pilot_samples
        held_back = config.estimate.refine_share if refines else 0.0
        first_budget = config.estimate.device_budget * (1 - held_back)
        prompts = (item.prompt for item in waiting)
        for result in run_cycle(prompts, device.estimate, first_budget, lambda: stop() or device.late()):
            store.write_result(cycle, result, clock())
            results.append(dataclasses.replace(result, hits=()))  # they are in the store, and large
        _refine(store, device, config, cycle, waiting, results, clock, stop)
    except WorkerLost as exc:
        device.broken_off = True
        log.error("estimate cycle broken off: %s", exc, extra={"job": "estimate"})
    store.trim_hits(config.estimate.hits_kept)
    summary = summarize_cycle(
        results,
        [harm.name for harm in config.all_harms],
        asked=len(waiting),
        started_at=started_at,
        finished_at=clock(),
        complete=not device.broken_off and not stop(),
    )
    store.finish_cycle(cycle, summary)
    log.info(
        "estimate cycle: %d prompts estimated, %d failed, %d left out, %.1f device seconds",
        summary.prompts,
        sum(summary.failures.values()),
        summary.left_out,
        summary.device_seconds,
        extra={
            "prompts": summary.prompts,
            "failed": sum(summary.failures.values()),
            "failures": summary.failures,
            "left_out": summary.left_out,
            "tokens": summary.tokens,
            "device_seconds": summary.device_seconds,
            "complete": summary.complete,
        },
    )
    return summary


class _Device:
    """The worker as one cycle uses it: a prompt that costs it its life is left out, up to a few times."""

    def __init__(self, worker: DeviceWorker, deadline: float, give_up: Stop) -> None:
        self.worker = worker
        self.deadline = deadline
        self.give_up = give_up
        self.broken_off = False
        self._losses = 0
        self._longest_s = 0.0

    def estimate(self, prompt: Prompt) -> PromptResult:
        begun = time.monotonic()
        try:
            return self.worker.estimate(prompt, self.deadline, self.give_up)
        except WorkerLost as exc:
            self._losses += 1
            if self.hopeless() or self._losses >= _WORKER_LOSSES:
                raise
            log.error(
                "prompt %r left out: %s",
                *(prompt.id, exc),
                extra={"prompt_id": prompt.id, "reason": WorkerLost.reason},
            )
            return PromptResult(prompt, failure=WorkerLost.reason, message=str(exc))
        finally:
            self._longest_s = max(self._longest_s, time.monotonic() - begun)

    def observe(self, prompt: Prompt) -> Observation:
        """A response that costs the worker its life is given up without a verdict: it would cost the next one too."""
        try:
            return self.worker.observe(prompt, self.deadline, self.give_up)
        except WorkerLost as exc:
            self._losses += 1
            if self.hopeless() or self._losses >= _WORKER_LOSSES:
                raise
            log.error(
                "response to prompt %r left out: %s",
                *(prompt.id, exc),
                extra={"prompt_id": prompt.id, "reason": WorkerLost.reason},
            )
            return Observation(prompt, {})

    def late(self) -> bool:
        """Whether one more prompt like the slowest so far would overrun the deadline.

        The device budget does not count the time of a judge behind an endpoint. A slow one must not cost the worker.
        """
        return time.monotonic() + self._longest_s > self.deadline

    def hopeless(self) -> bool:
        """Whether a loss of the worker is the end of the cycle: told to stop, or out of time."""
        return self.give_up() or time.monotonic() > self.deadline


def _choose_plans(store: Store, device: _Device, config: Config, now: datetime) -> None:
    """Have the worker choose plans from stored hits, and store what it chose."""
    hits = stored_hits(store, config, _PLAN_HITS, now) if config.estimate.adapt else []
    try:
        plans = device.worker.replan(hits, now, device.deadline, device.give_up)
    except WorkerLost as exc:
        if device.hopeless():
            raise
        # A fault in the choice must not end every cycle: the worker is started anew, with the first plan.
        log.error("no plan could be chosen from %d hits, so the first plan is used: %s", len(hits), exc)
        return
    store.write_plans(plans)
    log.info("plan of the cycle: %s", plans[0].reason, extra={"hits": len(hits)})


def _only_responses(
    store: Store,
    device: _Device,
    config: Config,
    responses: Sequence[SampledPrompt],
    now: datetime,
    clock: Clock,
    stop: Stop,
) -> None:
    """Judge responses where no prompt waits: no cycle, so that the last one's health stays in view."""
    try:
        _choose_plans(store, device, config, now)
        _judge_responses(store, device, config, responses, clock, stop)
    except WorkerLost as exc:
        log.error("judging of production responses broken off: %s", exc, extra={"job": "estimate"})


def _judge_responses(
    store: Store,
    device: _Device,
    config: Config,
    responses: Sequence[SampledPrompt],
    clock: Clock,
    stop: Stop,
) -> None:
    """Judge responses in the order given, of which any prefix is a fair sample; every verdict is stored at once."""
    until = time.monotonic() + _RESPONSES_SHARE * config.estimate.deadline.total_seconds()
    judged = away = 0
    for item in responses:
        if stop() or device.late() or time.monotonic() > until:
            break
        seen = device.observe(item.prompt)
        away = away + 1 if seen.away else 0
        if away == _JUDGE_AWAY:
            log.warning(
                "no judge reads production responses; %d wait for the next cycle",
                len(responses) - judged,
                extra={"job": "estimate", "responses": len(responses) - judged},
            )
            break
        store.write_observation(seen, clock())
        judged += 1
    if responses:
        log.info(
            "%d of %d production responses judged",
            *(judged, len(responses)),
            extra={"judged": judged, "responses": len(responses)},
        )


def _refine(
    store: Store,
    device: _Device,
    config: Config,
    cycle: int,
    waiting: Sequence[SampledPrompt],
    results: list[PromptResult],
    clock: Clock,
    stop: Stop,
) -> None:
    """Give the prompts that matter most further draws, until the device budget is spent."""
    budget = config.estimate.device_budget.total_seconds()
    spent = sum(result.estimates[0].device_seconds for result in results if result.estimates)
    if stop() or not results or device.late():
        return
    requests = _requests(store, waiting[: len(results)])
    chosen = plan_refinement(results, requests, budget - spent, config.estimate)
    for place, draws in chosen:
        if stop() or spent >= budget or device.late():
            return
        refined = device.worker.refine(results[place].prompt, draws, device.deadline, device.give_up)
        if refined is None:
            continue
        store.refine_result(cycle, refined, clock())
        spent += refined.estimates[0].device_seconds - results[place].estimates[0].device_seconds
        results[place] = dataclasses.replace(refined, hits=())
    log.info(
        "estimate cycle: %d of %d prompts got further draws",
        *(len(chosen), len(results)),
        extra={"refined": len(chosen), "prompts": len(results)},
    )


def _requests(store: Store, done: Sequence[SampledPrompt]) -> list[float]:
    """Requests that each prompt of a cycle stands for: those of its cell, shared with the cell's other prompts.

    Shared alike, or where prompts are sampled by risk by the inverse of their chance to be among those done.
    """
    cells = [(item.window_start, item.prompt.stratum) for item in done]
    reached: dict[tuple[datetime, Stratum], float] = defaultdict(float)
    for cell, item in zip(cells, done, strict=True):
        reached[cell] = max(reached[cell], item.priority)
    parts = [
        item.stands_for / min(1.0, item.size * reached[cell]) for cell, item in zip(cells, done, strict=True)
    ]
    wholes: dict[tuple[datetime, Stratum], float] = defaultdict(float)
    for cell, part in zip(cells, parts, strict=True):
        wholes[cell] += part
    counted = {(window.start, window.stratum): window.requests for window in store.volume(min(cells)[0])}
    return [counted.get(cell, 0) * part / wholes[cell] for cell, part in zip(cells, parts, strict=True)]
