"""Two intervals, never confused.

`working_interval` assumes that the proposals reach the harm. An estimate is then a sum of rare events, each with a
weight of its own: a weighted sum of Poisson counts. Its limits are gamma quantiles (Fay & Feuer 1997),

    low:  gamma of mean p and variance v                   at alpha/2
    high: gamma of mean p + 2 m and variance v + (2 m)^2   at 1 - alpha/2

with v the variance of the estimate and m the largest share of one draw in it: one more event, here twice as heavy as
the heaviest seen (Fay & Feuer take the heaviest possible, which for importance weights says no more than the bound
below). That is not enough where weights are very uneven, since the heaviest are then those not yet drawn. A weight is
a product of many ratios, so its logarithm is nearly normal; the high limit is therefore at least that of a lognormal
mean (Cox's method, Zhou & Gao 1997),

    log(k/n) + mu + s^2/2 + t sqrt( 1/k + s^2/k + s^4 / (2 (k - 1)) )

from mean mu and variance s^2 of the logarithms of the k terms that carry 99.9% of p. It is never above a guaranteed
bound at the same level, and at least p + 1.96 errors, which matters only where a control variate leaves p far below its
error.

Coverage of the nominal 95% in enumerable worlds, 100 runs each of 500 draws, sixteen worlds from 2e-6 to 2e-2 with
crude variants: plain Fay-Feuer 0.90 (worst 0.54) under adapted plans and 0.74 (worst 0.39) under first plans, whose
effective hits are often fewer than five; this rule 0.96 (worst 0.90) and 0.87 (worst 0.65). Low effective hits are
flagged.

`guaranteed_upper` assumes nothing but the bounds of the weights. The terms x_i = w_i h_i of one stage lie in [0, B],
B = n/n_0, and average to p in expectation. For a candidate mean m and a fixed stake c in (0, 1], the capital

    K_c(m) = prod_i (1 + c (m - x_i) / (B - m))

of a bet against "the mean is at least m" has expectation at most 1 if the mean is m or more: the factors are
independent and, by the inequality of the arithmetic and geometric mean, their expectations multiply to at most
(1 + c (m - mean) / (B - m))^n <= 1. That needs no identical distribution, so it holds for draws stratified over
proposals, as long as stakes are fixed beforehand. The capital of a later stage, whose proposals and size were chosen
from the earlier ones, again has conditional expectation at most 1, so stages multiply. A mixture of stakes is again
such a bet, and by Markov's inequality the m at which the mixed capital reaches 1/alpha is an upper bound with
confidence 1 - alpha (betting: Waudby-Smith & Ramdas 2024). Without a hit it is close to -log(alpha) B / n = 3 / n_0,
which no method can beat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import gamma, norm, t

from riskmon.records import FloatArray

# Most of the capital on the boldest stake, which is the best one without hits; the rest on stakes that are good with
# some (1.4 times the Clopper-Pearson bound at seven hits of a lone target). Fixed here, before any draw.
_STAKES = np.array([1.0, 0.75, 0.5, 0.3, 0.15, 0.05])
# Share of p whose carriers make the lognormal limit; lighter terms say nothing of the heavy tail.
_CARRIED = 0.999
_LOG_SHARES = np.log([0.6, 0.1, 0.1, 0.1, 0.05, 0.05])


def working_interval(
    terms: FloatArray, p: float, stderr: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for p > 0, valid where the proposals cover the harm.

    Args:
        terms: [n] float64, w h, at least one positive.
        p: the estimate. stderr: its standard error, positive.

    Returns:
        (low, high), within [0, 1].
    """
    tail = (1 - confidence) / 2
    heavier = 2 * float(terms.max()) / len(terms)
    low = _gamma_quantile(tail, p, stderr**2)
    high = _gamma_quantile(1 - tail, p + heavier, stderr**2 + heavier**2)
    # A control variate can leave p far below its error; a gamma so skew has almost all its mass at 0.
    normal = p + float(norm.isf(tail)) * stderr
    return min(1.0, low), min(1.0, max(high, normal, _lognormal_upper(terms, tail)))


def _gamma_quantile(level: float, mean: float, variance: float) -> float:
    return float(gamma.ppf(level, mean**2 / variance, scale=variance / mean))


def _lognormal_upper(terms: FloatArray, tail: float) -> float:
    """Upper limit of the mean of the terms if the positive ones are lognormal; 0 with fewer than three."""
    ordered = np.sort(terms[terms > 0])[::-1]
    carriers = int(np.searchsorted(np.cumsum(ordered), _CARRIED * ordered.sum())) + 1
    ordered = ordered[: max(3, carriers)]
    k = len(ordered)
    if k < 3:
        return 0.0
    logs = np.log(ordered)
    variance = float(logs.var(ddof=1))
    error = np.sqrt(1 / k + variance / k + variance**2 / (2 * (k - 1)))
    limit = np.log(k / len(terms)) + logs.mean() + variance / 2 + t.ppf(1 - tail, k - 1) * error
    return float(np.exp(min(limit, 0.0)))


def guaranteed_upper(stages: Sequence[tuple[FloatArray, float]], alpha: float = 0.05) -> float:
    """Upper confidence bound for a mean that all stages share, with no assumption beyond their bounds.

    Args:
        stages: per stage [n] float64 values w*h, and their largest possible value.
        alpha: error probability.

    Returns:
        A bound in (0, 1]; 1 where nothing better can be said.
    """
    stages = [(values, bound) for values, bound in stages if len(values)]
    if not stages:
        return 1.0
    target = -np.log(alpha)

    def log_capital(mean: float) -> float:
        rows = np.zeros(len(_STAKES))
        for values, bound in stages:
            # Clipped at the bound: rounding may put a weight a hair above it.
            gain = (mean - np.minimum(values, bound)) / (bound - mean)  # [n], each >= -1
            with np.errstate(divide="ignore"):
                rows += np.log1p(_STAKES[:, None] * gain[None, :]).sum(axis=1)
        return float(logsumexp(rows + _LOG_SHARES) - target)

    top = min(1.0, *(bound * (1 - 1e-12) for _, bound in stages))
    if log_capital(top) <= 0:
        return 1.0
    # At a mean of 0 no bet can gain, so the root lies above.
    return float(brentq(log_capital, 0.0, top, xtol=1e-15, rtol=1e-9))
