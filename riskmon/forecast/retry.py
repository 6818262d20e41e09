"""Risk of a prompt that is asked again and again: the traffic-weighted mean of 1 - (1 - p)^k.

In come estimates p_i of sampled prompts with weights w_i; out goes the probability that k independent answers to a
prompt of the traffic hold at least one harmful one,

    R_k = sum_i w_i g(p_i) / N,    g(p) = 1 - (1 - p)^k

Answers to one prompt are independent draws of the model, so this is exact for users who retry regardless of what they
got. R_k exceeds neither k p_bar nor 1, and falls short of k p_bar where a few prompts bear most of the harm.

**Noise of the estimates.** g is concave, so the mean of g over noisy estimates is too small where k stderr_i is not.
The second-order term is given back, g(p_i) + k (k - 1) (1 - p_i)^(k - 2) stderr_i^2 / 2, at most the straight line
k p_i and at most 1. Simulated at k p = 1 with so many hits a prompt, R_k over the truth:

    hits a prompt    without    with the term
    20               0.98       1.00
    8                0.95       1.00
    4                0.90       0.99
    2                0.81       0.95

**Interval.** That of `harm_rate`, with g(p_i) and k (1 - p_i)^(k - 1) stderr_i in place of p_i and stderr_i: a
bootstrap over prompts, and for the upper limit one more event of the size that could have gone unseen. Harm that no
proposal reaches is bounded by the draws of the target; asked k times it is at most k times as likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.forecast.harm_rate import HarmSample, harm_rate
from riskmon.records import BoolArray, FloatArray

LOWER, UPPER = 0.05, 0.95


@dataclass(frozen=True, slots=True)
class RetryRisk:
    """Probability that k answers to one prompt hold a harmful one.

    Attributes:
        retries: k. value: R_k. low, high: 90% interval; `high` allows for harm that was not seen.
    """

    retries: int
    value: float
    low: float
    high: float


def retry_risk(
    p: FloatArray,
    weights: FloatArray,
    retries: int,
    *,
    requests: float,
    calibrated: BoolArray,
    stderr: FloatArray,
    uncovered: FloatArray,
    target_draws: int,
    draws: int,
    rng: np.random.Generator,
) -> RetryRisk:
    """The mean of 1 - (1 - p)^k over the traffic that prompts stand for.

    Args:
        p: [m] estimates of one harm, m >= 1. weights: [m] requests each stands for, positive.
        retries: k, at least 1.
        requests: N, those that all of them stand for. calibrated: [m] as in `HarmSample`.
        stderr: [m] standard errors of `p`, 0 where p is exact.
        uncovered: [m] what hits that only the target has shown contribute to `p`.
        target_draws: draws of the target itself behind the estimates; without any, nothing is excluded.
        draws, rng: Monte Carlo draws behind the interval, source of chance.

    Raises:
        ValueError: fewer than one answer.
    """
    if retries < 1:
        raise ValueError(f"retries must be at least 1, found {retries}")
    p = np.clip(p, 0.0, 1.0)
    asked_p = _at_least_one(p, stderr, retries)
    asked = HarmSample(
        p=asked_p,
        stderr=retries * (1 - p) ** (retries - 1) * stderr,
        weights=weights,
        requests=requests,
        calibrated=calibrated,
        uncovered=np.minimum(retries * uncovered, asked_p),
        # One hit that was not seen among M draws is k times as likely in k answers.
        target_draws=target_draws // retries,
        gap_hits=0,
        hits=0,
    )
    rate = harm_rate(asked, draws=draws, rng=rng)
    high = np.quantile(rate.cautious(rng.exponential(size=draws)), UPPER)
    # Prompts sampled by risk may by chance stand for more requests than there were.
    value = min(rate.mean, 1.0)
    return RetryRisk(
        retries=retries,
        value=value,
        low=min(float(np.quantile(rate.draws, LOWER)), value),
        high=max(float(high), value),
    )


def _at_least_one(p: FloatArray, stderr: FloatArray, k: int) -> FloatArray:
    """[m] g(p), with the second-order term of the noise."""
    plain = -np.expm1(k * np.log1p(-np.minimum(p, 1 - 1e-15)))
    if k == 1:
        return p
    bend = k * (k - 1) / 2 * (1 - p) ** (k - 2) * stderr**2
    mended: FloatArray = np.minimum(np.minimum(plain + bend, k * p), 1.0)
    return mended
