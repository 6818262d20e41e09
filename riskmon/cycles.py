"""One estimate cycle: plans from earlier hits, production responses, every prompt's draws, more where they matter.

Reads the store, asks the devices, writes the store. A cycle may end at any point (budget, deadline, signal, lost
devices): what is finished is in the store, and the summary says what was left out.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime

from riskmon.config import Config
from riskmon.devices.base import Devices
from riskmon.errors import WorkerLost
from riskmon.estimate.cycle import plan_refinement, summarize_cycle
from riskmon.estimate.feed import Feed
from riskmon.jobs import Clock, Stop, stored_hits
from riskmon.records import CycleSummary, Prompt, PromptResult, SampledPrompt, Stratum
from riskmon.records.observed import Observation
from riskmon.store import Store

log = logging.getLogger(__name__)

# Prompts taken into memory for one cycle; far more than any device budget reaches.
_CYCLE_PROMPTS = 5_000
# Hits read for one choice of plans, over all strata and harms; bounds memory at a few hundred MB.
_PLAN_HITS = 20_000
# Part of a cycle's deadline, and of its device budget, that judging production responses may take: draws come first.
_RESPONSES_SHARE = 0.1
# Responses in a row without anything readable: the judge is away, and the rest waits for it instead of being given up.
_JUDGE_AWAY = 3
# Losses of the device while it judges responses after which the fault is no longer taken for a single response's.
_WORKER_LOSSES = 3


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
    device = _Device(devices, config, give_up)
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
        prompts = (item.prompt for item in waiting)
        feed = Feed(prompts, device.spent, device.budget_s * (1 - held_back), device.deadline, stop)
        for done in devices.estimate(feed.stream(), device.deadline, give_up):
            for result in feed.take(done):
                store.write_result(cycle, result, clock())
                device.count_paused(store)
                results.append(dataclasses.replace(result, hits=()))  # they are in the store, and large
        _refine(store, device, feed, config, cycle, waiting, results, clock, stop)
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
    _count_overhead(store, device, results)
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


class _Device:
    """The devices as one cycle uses them.

    Attributes:
        deadline: on the clock of `time.monotonic`. budget_s: device seconds of the cycle.
        broken_off: whether the cycle ended because of a loss.
        paused: seconds at rest for others, as counted so far.
    """

    def __init__(self, devices: Devices, config: Config, give_up: Stop) -> None:
        self.devices = devices
        self.deadline = time.monotonic() + config.estimate.deadline.total_seconds()
        self.budget_s = config.estimate.device_budget.total_seconds()
        self.give_up = give_up
        self.broken_off = False
        self.paused = 0.0
        self._before = devices.device_seconds
        self._paused_before = devices.paused_seconds
        self._losses = 0

    def spent(self) -> float:
        """Device seconds of the cycle so far."""
        return self.devices.device_seconds - self._before

    def count_paused(self, store: Store) -> None:
        """Count the time at rest since this was last called."""
        paused = self.devices.paused_seconds - self._paused_before
        if paused > self.paused:
            store.count_paused_seconds(paused - self.paused)
            self.paused = paused

    def observe(self, prompt: Prompt) -> Observation:
        """A response that costs the device its life is given up without a verdict: it would cost the next one too."""
        try:
            return self.devices.observe(prompt, self.deadline, self.give_up)
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

    def hopeless(self) -> bool:
        """Whether a loss of the device is the end of the cycle: told to stop, or out of time."""
        return self.give_up() or time.monotonic() > self.deadline


def _choose_plans(store: Store, device: _Device, config: Config, now: datetime) -> None:
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
    _count_overhead(store, device, [])


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
    most = device.spent() + _RESPONSES_SHARE * device.budget_s
    judged = away = 0
    for item in responses:
        if stop() or time.monotonic() > until or device.spent() >= most:
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
    feed: Feed,
    config: Config,
    cycle: int,
    waiting: Sequence[SampledPrompt],
    results: list[PromptResult],
    clock: Clock,
    stop: Stop,
) -> None:
    """Give the prompts that matter most further draws, until the device budget is spent."""
    if stop() or not results or feed.late():
        return
    requests = _requests(store, waiting[: len(results)])
    chosen = plan_refinement(results, requests, device.budget_s - device.spent(), config.estimate)
    under_way: list[tuple[int, int]] = []

    def asked() -> Iterator[tuple[Prompt, int]]:
        for place, draws in chosen:
            ahead = [*under_way, (place, draws)]
            seconds = sum(_seconds(results[other], more) for other, more in under_way)
            late = feed.late(sum(more for _, more in ahead) / config.estimate.samples_per_prompt)
            if stop() or late or device.spent() + seconds >= device.budget_s:
                return
            under_way.append((place, draws))
            yield results[place].prompt, draws

    refined = 0
    for result in device.devices.refine(asked(), device.deadline, device.give_up):
        place, _ = under_way.pop(0)
        if result is not None:
            store.refine_result(cycle, result, clock())
            results[place] = dataclasses.replace(result, hits=())
            refined += 1
    log.info(
        "estimate cycle: %d of %d prompts got further draws",
        *(refined, len(results)),
        extra={"refined": refined, "prompts": len(results)},
    )


def _seconds(result: PromptResult, draws: int) -> float:
    """Device seconds that further draws of a prompt will take, as it was so far."""
    estimate = result.estimates[0]
    return draws * estimate.device_seconds / estimate.n


def _count_overhead(store: Store, device: _Device, results: Sequence[PromptResult]) -> None:
    """Count the device time that no stored result states: plans, responses, failures, what was lost, and rests."""
    stated = sum(result.estimates[0].device_seconds for result in results if result.estimates)
    store.count_device_seconds(max(0.0, device.spent() - stated))
    device.count_paused(store)


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
