"""Two intervals, never confused.

`working_interval` assumes that the proposals reach the harm: a Student interval for log p, whose degrees of freedom
come from the effective number of hits, so that a handful of hits gives a wide one.

`guaranteed_upper` assumes nothing but the weight bound B = n/n_0. The terms x_i = w_i h_i lie in [0, B] and average to
p in expectation. For a candidate mean m and a fixed stake c in (0, 1], the capital

    K_c(m) = prod_i (1 + c (m - x_i) / (B - m))

of a bet against "the mean is at least m" has expectation at most 1 if the mean is m or more: the factors are
independent and, by the inequality of the arithmetic and geometric mean, their expectations multiply to at most
(1 + c (m - mean) / (B - m))^n <= 1. That needs no identical distribution, so it holds for draws stratified over
proposals, as long as stakes are fixed beforehand. A mixture of stakes is again such a bet, and by Markov's inequality
the m at which the mixed capital reaches 1/alpha is an upper bound with confidence 1 - alpha (betting: Waudby-Smith &
Ramdas 2024). Without a hit it is close to -log(alpha) B / n = 3 / n_0, which no method can beat.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import beta, t

from riskmon.records import FloatArray

# Most of the capital on the boldest stake, which is the best one without hits; the rest on stakes that are good with
# some (1.4 times the Clopper-Pearson bound at seven hits of a lone target). Fixed here, before any draw.
_STAKES = np.array([1.0, 0.75, 0.5, 0.3, 0.15, 0.05])
_LOG_SHARES = np.log([0.6, 0.1, 0.1, 0.1, 0.05, 0.05])


def working_interval(
    p: float, stderr: float, effective_hits: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval for p > 0 on the log scale, valid where the proposals cover the harm.

    Args:
        p: the estimate. stderr: its standard error.
        effective_hits: effective sample size of w*h.

    Returns:
        (low, high), within [0, 1].
    """
    freedom = max(1.0, effective_hits - 1.0)
    reach = float(t.ppf(0.5 + confidence / 2, freedom)) * stderr / p
    with np.errstate(over="ignore"):
        return min(1.0, float(p * np.exp(-reach))), min(1.0, float(p * np.exp(reach)))


def guaranteed_upper(values: FloatArray, bound: float, alpha: float = 0.05) -> float:
    """Upper confidence bound for the mean of independent values in [0, bound], with no further assumption.

    Args:
        values: [n] float64, w*h.
        bound: their largest possible value, n / n_0.
        alpha: error probability.

    Returns:
        A bound in (0, 1]; 1 where nothing better can be said.
    """
    if len(values) == 0:
        return 1.0
    target = -np.log(alpha)

    def log_capital(mean: float) -> float:
        # Clipped at the bound: rounding may put a weight a hair above it.
        gain = (mean - np.minimum(values, bound)) / (bound - mean)  # [n], each >= -1
        with np.errstate(divide="ignore"):
            rows = np.log1p(_STAKES[:, None] * gain[None, :]).sum(axis=1)  # [stakes]
        return float(logsumexp(rows + _LOG_SHARES) - target)

    top = min(1.0, bound * (1 - 1e-12))
    # A bound never lies below what was seen; there the capital is at most its start, so the root lies above.
    low = min(float(values.mean()), top)
    if log_capital(top) <= 0:
        return 1.0
    return float(brentq(log_capital, low, top, xtol=1e-15, rtol=1e-9))


def binomial_upper(hits: int, trials: int, alpha: float = 0.05) -> float:
    """Clopper-Pearson upper bound on a probability; 1 without trials."""
    if trials == 0 or hits >= trials:
        return 1.0
    return float(beta.ppf(1 - alpha, hits + 1, trials - hits))
