"""The worst query of the day: the largest p(x) expected among n requests, most of which were never sampled.

In come the probabilities of sampled prompts with their weights, out goes one probability. The tail is close to
straight in the coordinates

    psi = -log(-log p)    against    -log S

where S is the share of traffic with a probability at least as large (cumulated weights, largest first). Least squares
through the ten largest p, read off at S = 1 / n (Jones et al. 2025, arXiv 2502.16797, section 3). The p here are
estimates, and the largest of noisy estimates is on average too large: the figure errs on the loud side.

It is refused, None, rather than guessed where the tail carries no such line:
- fewer than ten positive p;
- more than three orders of magnitude beyond the sample, 1 / n < S_1 / 1000, S_1 the share of the largest;
- ten equal p: a flat line says nothing about a larger one (ranked as they are, the slope cannot be negative);
- an unstable fit: leaving out one of the ten points at a time moves the answer by more than a factor of ten.

Simulated (`riskmon.bench.worst_queries`): read from 1,000 prompts, held against the largest of 100,000, 300 runs a row,
answers within one order of magnitude where p is exact, and where it is estimated from four hits a prompt.

    p(x)                                exact p    4 hits    refused
    beta, Pareto of index 3             99-100%    98-100%      0-1%
    lognormal of log-sd 1, 2            97-98%     95-96%       0-3%
    lognormal of log-sd 3               91%        88%          1-3%
    5% of prompts a hundredfold         99%        95%          0%
    1% of prompts a thousandfold        87%        87%          0%
    Pareto of index 1.5                 88%        85%          6-7%
    Pareto of index 1                   63%        63%         10%
    0.02% of prompts a thousandfold      9%        12%         15%

**Where it fails.** A power law of index near 1 is steeper than the line, and nothing in ten points tells it from a
lognormal of log-sd 3. The mean of this line and one in log p gains on some power laws and loses more on the lognormal
of log-sd 2 and on mixtures; refusing where the two lines differ fivefold refuses a quarter to a half of ordinary tails,
and what is still answered is hardly right more often. A kind of prompt that the sample does not hold cannot be read
from it.
"""

from __future__ import annotations

import numpy as np

from riskmon.records import FloatArray

TAIL = 10
REACH = 1000.0
INSTABILITY = 10.0


def worst_query_probability(p: FloatArray, weights: FloatArray, daily_requests: float) -> float | None:
    """Extrapolate the largest p(x) among a day's requests.

    Args:
        p: [m] probabilities, not negative.
        weights: [m] requests each stands for, positive.
        daily_requests: n.

    Returns:
        A probability at most 1 and at least the largest p, or None where it is refused.
    """
    order = np.argsort(p)[::-1][:TAIL]
    largest = p[order]  # [10], falling
    if len(largest) < TAIL or largest[-1] <= 0 or daily_requests <= 0:
        return None
    top = float(min(largest[0], 1.0))
    survival = np.cumsum(weights[order]) / weights.sum()  # [10], rising
    beyond = daily_requests * float(survival[0])
    if top >= 1.0 or beyond <= 1.0:
        return top
    if beyond > REACH or largest[0] == largest[-1]:
        return None

    psi, x, at = -np.log(-np.log(largest)), -np.log(survival), float(np.log(daily_requests))
    answer = _read_off(x, psi, at)
    without_one = [_read_off(np.delete(x, k), np.delete(psi, k), at) for k in range(TAIL)]
    if max(without_one) > INSTABILITY * min(without_one):
        return None
    return max(answer, top)


def _read_off(x: FloatArray, psi: FloatArray, at: float) -> float:
    """The probability that the least-squares line through (x, psi) gives at `at`."""
    centred = x - x.mean()
    slope = float(centred @ psi) / float(centred @ centred)
    return float(np.exp(-np.exp(-(psi.mean() + slope * (at - x.mean())))))
