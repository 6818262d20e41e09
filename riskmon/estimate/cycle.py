"""One cycle over many prompts: estimate each within the device budget, then sum up what was done.

Prompts come in an order of which any prefix is a fair sample, so a cycle that runs out of budget, or is told to
stop, has estimated a smaller sample and not a different one. Every finished prompt is handed on at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np

from riskmon.config import EstimateConfig
from riskmon.estimate.allocation import Candidate, further_draws
from riskmon.estimate.coverage import harm_health
from riskmon.records import CycleSummary, Estimate, Prompt, PromptResult


def run_cycle(
    prompts: Iterable[Prompt],
    estimate: Callable[[Prompt], PromptResult],
    device_budget: timedelta,
    stop: Callable[[], bool],
) -> Iterator[PromptResult]:
    """Yield a result per prompt until the prompts, the device budget or the caller's patience end.

    Args:
        estimate: estimates one prompt and never raises for a fault of that prompt.
        device_budget: device time that may be spent; the prompt that overruns it is finished.
        stop: asked before each prompt.
    """
    spent = 0.0
    for prompt in prompts:
        if stop() or spent >= device_budget.total_seconds():
            return
        result = estimate(prompt)
        spent += result.estimates[0].device_seconds if result.estimates else 0.0
        yield result


def plan_refinement(
    results: Sequence[PromptResult], requests: Sequence[float], seconds: float, config: EstimateConfig
) -> list[tuple[int, int]]:
    """Which results of a cycle get further draws: pairs of index and number of draws, in the order of the results.

    Args:
        results: what was finished. requests: requests each stands for.
        seconds: device time there is left.
    """
    able = [i for i, result in enumerate(results) if result.estimates and result.spread]
    pilot_draws = config.pilot_samples
    candidates = [
        Candidate(
            requests=requests[i],
            spread=results[i].spread,
            pilot_draws=pilot_draws,
            draws=results[i].estimates[0].n - pilot_draws,
            seconds_per_draw=results[i].estimates[0].device_seconds / results[i].estimates[0].n,
        )
        for i in able
    ]
    limit = config.refine_limit * config.samples_per_prompt - pilot_draws
    extra = further_draws(candidates, seconds, limit, config.early_stop)
    return [(i, int(draws)) for i, draws in zip(able, extra, strict=True) if draws]


def summarize_cycle(
    results: Sequence[PromptResult],
    harms: Sequence[str],
    *,
    asked: int,
    started_at: datetime,
    finished_at: datetime,
    complete: bool,
) -> CycleSummary:
    """What a cycle did.

    Args:
        results: what was finished, failures included.
        harms: names of all configured harms.
        asked: prompts that were waiting when the cycle began.
        complete: whether it was left to its own end.
    """
    estimates: list[Estimate] = [estimate for result in results for estimate in result.estimates]
    costs = [result.estimates[0] for result in results if result.estimates]
    return CycleSummary(
        started_at=started_at,
        finished_at=finished_at,
        prompts=len(costs),
        failures=Counter(result.failure for result in results if result.failure),
        left_out=asked - len(results),
        tokens=sum(cost.tokens for cost in costs),
        device_seconds=sum(cost.device_seconds for cost in costs),
        weight_mean=float(np.mean([cost.weight_mean for cost in costs])) if costs else None,
        path_discrepancy=max((cost.path_discrepancy for cost in costs), default=0.0),
        health=tuple(harm_health(harm, estimates) for harm in harms),
        complete=complete,
    )
