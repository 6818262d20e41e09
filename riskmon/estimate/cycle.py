"""What a cycle makes of its estimates: who gets further draws, and the sum of what was done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from riskmon.config import EstimateConfig
from riskmon.estimate.allocation import Candidate, further_draws
from riskmon.estimate.coverage import harm_health
from riskmon.records import CycleSummary, Estimate, PromptResult


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
    device_seconds: float,
    started_at: datetime,
    finished_at: datetime,
    complete: bool,
) -> CycleSummary:
    """What a cycle did.

    Args:
        results: what was finished, failures included.
        harms: names of all configured harms.
        asked: prompts that were waiting when the cycle began.
        device_seconds: all that devices did for it: besides estimates the plans, responses, and what was lost.
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
        device_seconds=device_seconds,
        weight_mean=float(np.mean([cost.weight_mean for cost in costs])) if costs else None,
        path_discrepancy=max((cost.path_discrepancy for cost in costs), default=0.0),
        health=tuple(harm_health(harm, estimates) for harm in harms),
        complete=complete,
    )
