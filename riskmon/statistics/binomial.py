"""Limits of a share, and what weighted trials are worth.

**Limits.** Clopper & Pearson 1934: the limits of a binomial share that hold whatever the share is. With x of n they
are quantiles of Beta(x, n - x + 1) and Beta(x + 1, n - x), which exist for fractional counts too.

**Weighted trials.** With survey weights w_i (inverse inclusion probabilities) a share is sum(w_i y_i) / sum(w_i), and
n weighted trials are worth fewer, or more, equally weighted ones. Two measures:

    Kish 1965              (sum w)^2 / sum w^2
    Korn & Graubard 1998   s (1 - s) / Var(s),   Var(s) = sum w_i^2 (y_i - s)^2 / (sum w)^2

Kish takes weights and outcomes for unrelated. Where labels were picked by outcome (every flagged answer, one of a
hundred others) the flagged ones have light weights, the share of them is known far better than Kish says, and the
second measure shows it. But it trusts the outcomes that were seen, so with few of one kind it is used only where it
is the more careful of the two; with none of one kind it does not exist.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv

from riskmon.records import BoolArray, FloatArray

FEW_OUTCOMES = 10.0
"""Below this effective number of either outcome, weights are not trusted to lower the uncertainty."""


class Limits(NamedTuple):
    """An interval, its ends included."""

    low: float
    high: float


def clopper_pearson(hits: float, trials: float, confidence: float = 0.95) -> Limits:
    """Two-sided limits of a share.

    Args:
        hits: outcomes counted, 0 <= hits <= trials; fractional ones are effective counts.
        trials: without any, nothing is excluded: [0, 1].
        confidence: of the interval, in (0, 1).

    Raises:
        ValueError: an argument is outside its range.
    """
    tail = (1 - confidence) / 2
    return Limits(1 - upper_limit(trials - hits, trials, 1 - tail), upper_limit(hits, trials, 1 - tail))


def upper_limit(hits: float, trials: float, confidence: float = 0.95) -> float:
    """One-sided upper limit of a share; with no hits it is about -log(1 - confidence) / trials, without trials 1.

    Raises:
        ValueError: hits outside [0, trials], fewer than no trials, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), found {confidence}")
    # Sums of effective counts miss their total by rounding.
    if trials < 0 or not 0 <= hits <= trials * (1 + 1e-9):
        raise ValueError(f"hits must lie in [0, trials], found {hits} of {trials}")
    return 1.0 if hits >= trials else float(betaincinv(hits + 1, trials - hits, confidence))


def effective_trials(outcomes: BoolArray, weights: FloatArray) -> float:
    """How many equally weighted trials tell as much about the share of `outcomes`.

    Args:
        outcomes: [n] bool, n >= 1.
        weights: [n] float64, positive and finite.

    Returns:
        n for equal weights.

    Raises:
        ValueError: no trials, or a weight that is not positive and finite.
    """
    if len(weights) == 0 or not (np.isfinite(weights).all() and (weights > 0).all()):
        raise ValueError("there must be at least one trial, and every weight must be positive and finite")
    relative = weights / weights.max()
    if (relative == 1).all():
        return float(len(relative))
    kish = _kish(relative)
    if outcomes.all() or not outcomes.any():
        return kish
    share = float(relative[outcomes].sum() / relative.sum())
    design_variance = float(((relative * (outcomes - share)) ** 2).sum() / relative.sum() ** 2)
    by_design = share * (1 - share) / design_variance
    fewest = min(_kish(relative[outcomes]), _kish(relative[~outcomes]))
    return min(kish, by_design) if fewest < FEW_OUTCOMES else by_design


def effective_counts(outcomes: BoolArray, weights: FloatArray, most: float) -> tuple[float, float]:
    """Weighted outcomes as trials and successes of one simple sample: effective trials, times their weighted share.

    Args:
        outcomes, weights: as for `effective_trials`.
        most: no more trials than these.
    """
    trials = min(effective_trials(outcomes, weights), most)
    return trials, trials * float(weights[outcomes].sum() / weights.sum())


def _kish(weights: FloatArray) -> float:
    return float(weights.sum() ** 2 / (weights**2).sum())
