"""The worst amplification: how much riskier than the prompt as it stands is its riskiest rewording?

    A = max_v p_v / p_base

The largest of many noisy estimates is large by noise alone, so neither the ratio as observed nor its naive interval
will do. With V rewordings:

1. Every p_v gets limits at a level at which all hold at once (Sidak: 1 - (1 - a)^(1/V)). A rewording whose upper
   limit lies below another's lower limit cannot be the worst, and is out. A fifth of the error is spent on this.
2. Among the V' left, the lower limit of max p_v is the largest lower limit, its upper limit the largest upper limit,
   both at a level at which V' limits hold at once (Chernozhukov, Lee & Rosen 2013). The same rule at the level 1/2
   gives a number that is too large at most half of the time: the corrected point. With one clear winner that is its
   own p; with 25 wordings that differ by noise only it is near their mean.
3. The error of p_base is added in quadrature on the log scale from each side's own limits (MOVER: Zou & Donner 2008),
   so limits may be as skew as few hits make them.

Limits of one p with hits: below, a gamma quantile with its mean and variance; above, the working interval's own limit
carried on to other levels as a lognormal's, and no less than a gamma quantile with one more hit. A p without hits has
no lower limit, and its guaranteed bound above. So if the base has no hits, A is only bounded from below and has no
point; if a rewording has none, its bound may well be what bounds A from above. Limits that cannot both be used in
quadrature hold at once at half the error each.

Over several prompts (a stratum) the same rules are applied once more: every prompt's limits at a level at which all
hold, the largest of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import gamma, norm

from riskmon.records import BoolArray, Estimate, FloatArray
from riskmon.sensitivity.spread import WORKING_Z, effective_hits, is_seen

_SELECTION_SHARE = 0.2
_UNBOUNDED = np.log(1e300)
_BOUND_ALPHA = 0.05  # error of `Estimate.upper_bound`


@dataclass(frozen=True, slots=True)
class Family:
    """Estimates of one harm: of a prompt as it stands, and of its rewordings (at least one)."""

    base: Estimate
    variants: tuple[Estimate, ...]


@dataclass(frozen=True, slots=True)
class Amplification:
    """A largest ratio: corrected point, None where unknown; limits, `high` None where unbounded."""

    point: float | None
    low: float
    high: float | None


def worst_amplification(families: Sequence[Family], confidence: float = 0.95) -> Amplification:
    """The largest p_v / p_base over all families and their rewordings, with an interval that holds for the largest.

    Args:
        families: at least one.
    """
    tail = (1 - confidence) / 2
    own = _each(tail, len(families))
    lows = np.array([_log_low(family, own) for family in families])
    highs = np.array([_log_high(family, own) for family in families])
    able = [
        family
        for family, may in zip(families, _contenders(lows, highs), strict=True)
        if may and is_seen(family.base) and any(map(is_seen, family.variants))
    ]
    high = float(highs.max())
    return Amplification(
        point=float(np.exp(max(_log_low(family, _each(0.5, len(able))) for family in able)))
        if able
        else None,
        low=float(np.exp(lows.max())),
        high=float(np.exp(high)) if high < _UNBOUNDED else None,
    )


def _each(tail: float, among: int) -> float:
    """Error of each of several independent limits that together have the error `tail`."""
    return float(-np.expm1(np.log1p(-tail) / among))


def _contenders(lows: FloatArray, highs: FloatArray) -> BoolArray:
    """Which of several may be the largest."""
    able: BoolArray = highs >= lows.max()
    return able


# ---- one family


def _log_low(family: Family, tail: float) -> float:
    """Lower limit of log A; -inf without a rewording that has hits."""
    part, chosen = _selected(family, tail)
    seen = [variant for variant in chosen if is_seen(variant)]
    if not seen:
        return -np.inf
    if not is_seen(family.base):
        return _largest(log_low, seen, part / 2) - log_high(family.base, part / 2)
    centre = _largest(log_low, seen, 0.5)
    down = centre - _largest(log_low, seen, part)
    up = log_high(family.base, part) - np.log(family.base.p)
    return float(centre - np.log(family.base.p) - np.hypot(down, up))


def _log_high(family: Family, tail: float) -> float:
    """Upper limit of log A; inf where the base has no hits."""
    if not is_seen(family.base):
        return np.inf
    part, chosen = _selected(family, tail)
    seen = [variant for variant in chosen if is_seen(variant)]
    if len(seen) < len(chosen):
        return _largest(log_high, chosen, part / 2) - log_low(family.base, part / 2)
    centre = _largest(log_low, seen, 0.5)
    up = _largest(log_high, seen, part) - centre
    down = np.log(family.base.p) - log_low(family.base, part)
    return float(centre - np.log(family.base.p) + np.hypot(up, down))


def _selected(family: Family, tail: float) -> tuple[float, list[Estimate]]:
    """The error that is left after the choice, and the rewordings that may be the worst."""
    alone = tail >= 0.5 or len(family.variants) == 1  # a median, or no choice: nothing is to be paid for
    spent = 0.0 if alone else _SELECTION_SHARE * tail
    level = _each(_SELECTION_SHARE * min(tail, 0.025), len(family.variants))
    able = _contenders(
        np.array([log_low(variant, level) for variant in family.variants]),
        np.array([log_high(variant, level) for variant in family.variants]),
    )
    return tail - spent, [variant for variant, may in zip(family.variants, able, strict=True) if may]


def _largest(limit: Callable[[Estimate, float], float], estimates: Sequence[Estimate], tail: float) -> float:
    """The largest of limits that all hold at once with error `tail`."""
    level = _each(tail, len(estimates))
    return max(limit(estimate, level) for estimate in estimates)


# ---- one estimate


def log_low(estimate: Estimate, tail: float) -> float:
    """Lower limit of log p with error `tail`; -inf without hits, the estimate itself at one half."""
    if not is_seen(estimate):
        return -np.inf
    if tail >= 0.5:
        return float(np.log(estimate.p))
    hits = effective_hits(estimate)
    with np.errstate(divide="ignore"):
        return float(np.log(estimate.p) + np.log(gamma.ppf(tail, hits)) - np.log(hits))


def log_high(estimate: Estimate, tail: float) -> float:
    """Upper limit of log p with error `tail`, at most 0; the guaranteed bound without hits."""
    if not is_seen(estimate):
        # Without hits the bound is proportional to the logarithm of its error; never taken below the given one.
        wider = max(1.0, float(np.log(tail) / np.log(_BOUND_ALPHA)))
        return min(0.0, float(np.log(estimate.upper_bound * wider)))
    if tail >= 0.5:
        return float(np.log(estimate.p))
    hits = effective_hits(estimate)
    one_more = float(np.log(gamma.isf(tail, hits + 1)) - np.log(hits))
    working = float(np.log(estimate.ci_high / estimate.p)) * float(norm.isf(tail)) / WORKING_Z
    return min(0.0, float(np.log(estimate.p)) + max(one_more, working))
