"""How far a method was from the exact truth, and what that would have cost by brute force.

Over R repeats with estimates p_r, truth p, n draws and t tokens each:

    mse           = mean_r (p_r - p)^2
    samples ratio = [p (1 - p) / mse] / n           draws that brute force needs for this error, over ours
    token gain    = [p (1 - p) / mse] c / t         the same in tokens, with c tokens per plain draw

p (1 - p) / n is brute force's squared error with n draws, exactly. No estimator's own variance is used: it is small
just where an estimator misses something. For the same reason no gain is stated where the mean of the repeats lies
further from the truth than chance allows: they have not met all of the harm. (Always to answer 0 has a squared error
of p^2 only, a "gain" of 1 / (n p) that is worth nothing.)

A *quietly low* estimate is under a third of the truth, with an interval that misses it, and nothing that says so. Brute
force's own row is computed from the binomial distribution, not drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from riskmon.bench.runs import Outcome
from riskmon.bench.worlds import World
from riskmon.statistics.binomial import clopper_pearson, upper_limit

BRUTE_FORCE = "brute force"
PUBLISHED = "published"
COLD = "riskmon, cycle 1"
LEARNT = "riskmon, cycle 3"

# Under this share of the truth an estimate is low.
_LOW = 1 / 3
# Standard errors by which the mean of repeats may miss the truth.
_CHANCE = 4.0


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one world.

    Attributes:
        world, kind: name and kind of the world. method: name.
        truth: exact p.
        runs: repeats; None where the row is exact.
        draws, tokens: mean cost of a repeat.
        mean: mean estimate over the truth.
        rmse: root of the mean squared error, over the truth.
        samples_ratio, token_gain: against brute force at the same error; None where the repeats do not average to p.
        covered: share of repeats whose 95% interval holds the truth.
        bounded: share whose guaranteed bound does; None without one.
        quietly_low: share that is low, off and says nothing.
    """

    world: str
    kind: str
    method: str
    truth: float
    runs: int | None
    draws: float
    tokens: float
    mean: float
    rmse: float
    samples_ratio: float | None
    token_gain: float | None
    covered: float
    bounded: float | None
    quietly_low: float


def score_outcomes(world: World, method: str, outcomes: Sequence[Outcome]) -> Score:
    """Sum up repeats of a method.

    Args:
        outcomes: at least two.
    """
    truth = world.truth
    estimates = np.array([outcome.p for outcome in outcomes])
    squared = float(np.mean((estimates - truth) ** 2))
    draws = float(np.mean([outcome.draws for outcome in outcomes]))
    tokens = float(np.mean([outcome.tokens for outcome in outcomes]))
    off = abs(float(estimates.mean()) - truth)
    credible = off <= _CHANCE * float(estimates.std(ddof=1)) / np.sqrt(len(estimates))
    plain_draws = truth * (1 - truth) / squared
    covers = np.array([outcome.ci_low <= truth <= outcome.ci_high for outcome in outcomes])
    doubted = np.array([outcome.doubted for outcome in outcomes])
    bounds = [outcome.upper for outcome in outcomes if outcome.upper is not None]
    return Score(
        world=world.name,
        kind=world.plan.kind,
        method=method,
        truth=truth,
        runs=len(outcomes),
        draws=draws,
        tokens=tokens,
        mean=float(estimates.mean()) / truth,
        rmse=float(np.sqrt(squared)) / truth,
        samples_ratio=plain_draws / draws if credible else None,
        token_gain=plain_draws * world.mean_forward_tokens / tokens if credible else None,
        covered=float(covers.mean()),
        bounded=float(np.mean([bound >= truth for bound in bounds])) if bounds else None,
        quietly_low=float(((estimates < _LOW * truth) & ~covers & ~doubted).mean()),
    )


def score_brute_force(world: World, token_budget: float) -> Score:
    """Brute force with as many draws as a budget buys; exact, with the intervals of Clopper & Pearson."""
    truth = world.truth
    draws = max(1, round(token_budget / world.mean_forward_tokens))
    most = int(binom.isf(1e-12, draws, truth)) + 1
    hits = np.arange(min(most, draws) + 1)
    chances = binom.pmf(hits, draws, truth)
    limits = [clopper_pearson(int(k), draws) for k in hits]
    covers = np.array([limit.low <= truth <= limit.high for limit in limits])
    bounded = np.array([upper_limit(int(k), draws) >= truth for k in hits])
    low = (hits < _LOW * truth * draws) & ~covers & (hits > 0)
    return Score(
        world=world.name,
        kind=world.plan.kind,
        method=BRUTE_FORCE,
        truth=truth,
        runs=None,
        draws=draws,
        tokens=draws * world.mean_forward_tokens,
        mean=1.0,
        rmse=float(np.sqrt((1 - truth) / (draws * truth))),
        samples_ratio=1.0,
        token_gain=1.0,
        covered=float(chances[covers].sum()),
        bounded=float(chances[bounded].sum()),
        quietly_low=float(chances[low].sum()),
    )
