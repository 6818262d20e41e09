"""How far p really differs between the wordings of a prompt, with the noise of its estimates taken out.

In come the estimates of a prompt's rewordings, out goes a standard deviation of log p. Each estimate is read as a
scaled Poisson count: with k = (p / stderr)^2 effective hits and exposure E = k / p,

    log L(theta) = k theta - E exp(theta),    theta = log p

which has its top at the estimate and, for many hits, the delta method's error stderr / p. That is the reading that
`riskmon.estimate.intervals` has of an estimate (Fay & Feuer 1997). Where the upper end of the working interval is
further away than that error says, as it is under heavy weights, k is what that end says: the careful reading. A
rewording without hits is bounded and not dropped: k = 0 and E = 3 / upper_bound, so that its guaranteed 95% bound is
where the likelihood has fallen to exp(-3).

Between wordings theta is normal with mean mu and standard deviation tau, the random effects of DerSimonian & Laird
(1986). Their moment estimate cannot use an estimate without hits, so tau is found by restricted maximum likelihood:
theta is integrated out per wording (adaptive Gauss-Hermite, around the mode, which Wright's omega function gives in
closed form), mu by Laplace's method, which is exact for normal estimates. The likelihood of mu is log-concave, so
Newton's steps find its top. tau = 0 is a candidate like any other: a spread that is only noise comes out at or near
0. The interval is {tau: 2 (top - log L) <= 3.84}, under the careful reading or under the plain one, since the noise
itself is not known well.

Where many wordings have no hits the exposures of those with hits say more than the guaranteed bounds of the others:
then mu leans towards the wordings that were seen, and tau towards too small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, wrightomega
from scipy.stats import norm

from riskmon.records import Estimate, Flag, FloatArray

# Natural-log units: 1% to 5.2 orders of magnitude, in steps of 11%. Beyond, the quadrature would need more nodes.
_TAUS = np.geomspace(0.02, 12.0, 61)
_NODES, _NODE_WEIGHTS = np.polynomial.hermite.hermgauss(31)
_LOG_RATIO_LIMIT = 1.92  # half of the 95% quantile of chi-squared with one degree of freedom
# Errors below 0.1% say nothing about a spread of interest, and would only strain the arithmetic.
_MOST_HITS = 1e6
_ZERO_HIT_LEVEL = -np.log(0.05)
WORKING_Z = float(norm.isf(0.025))
"""Standard deviations from a normal estimate to the ends of its working interval."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Between-wordings distribution of log p, natural logarithm.

    Attributes:
        mu: mean. tau: standard deviation. tau_low, tau_high: 95% interval; a tau_high of None is unbounded.
    """

    mu: float
    tau: float
    tau_low: float
    tau_high: float | None


def is_seen(estimate: Estimate) -> bool:
    """Whether there is a number: a harmful draw that the judge's false alarms alone could not make."""
    return estimate.stderr is not None and estimate.p > 0 and Flag.BELOW_JUDGE_FLOOR not in estimate.flags


def effective_hits(estimate: Estimate) -> float:
    """(p / stderr)^2 of an estimate that is seen; its draws where they do not vary at all."""
    assert estimate.stderr is not None
    return float(estimate.n) if estimate.stderr == 0 else (estimate.p / estimate.stderr) ** 2


def _careful_hits(estimate: Estimate) -> float:
    """Effective hits, and no more than the upper limit of the working interval allows.

    That limit knows of heavy weights, under which the standard error is too small.
    """
    hits = min(effective_hits(estimate), _MOST_HITS)
    above = float(np.log(estimate.ci_high / estimate.p))
    return min(hits, (WORKING_Z / above) ** 2) if above > 0 else hits


def log_spread(estimates: Sequence[Estimate]) -> Spread | None:
    """Spread of log p between wordings.

    Args:
        estimates: one per rewording, of one harm.

    Returns:
        None with fewer than two rewordings that had hits: one number has no spread.
    """
    if sum(map(is_seen, estimates)) < 2:
        return None
    careful = _fit(*_counts(estimates, _careful_hits))
    plain = _fit(*_counts(estimates, effective_hits))
    return Spread(
        mu=careful.mu,
        tau=careful.tau,
        tau_low=min(careful.tau_low, plain.tau_low),
        tau_high=_wider(careful.tau_high, plain.tau_high),
    )


def _wider(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _counts(
    estimates: Sequence[Estimate], hits_of: Callable[[Estimate], float]
) -> tuple[FloatArray, FloatArray]:
    """Hits and exposures of the scaled Poisson counts: [V], [V]."""
    hits = np.zeros(len(estimates))
    exposures = np.zeros(len(estimates))
    for place, estimate in enumerate(estimates):
        if is_seen(estimate):
            hits[place] = min(hits_of(estimate), _MOST_HITS)
            exposures[place] = hits[place] / estimate.p
        else:
            exposures[place] = _ZERO_HIT_LEVEL / estimate.upper_bound
    return hits, exposures


def _fit(hits: FloatArray, exposures: FloatArray) -> Spread:
    """Restricted maximum likelihood over the grid of tau."""
    pooled = np.log(hits.sum() / exposures.sum())
    none = float(hits.sum() * (pooled - 1) - 0.5 * np.log(hits.sum()))
    mus, restricted = _restricted(hits, exposures)
    taus = np.concatenate([[0.0], _TAUS])
    mus = np.concatenate([[pooled], mus])
    likelihoods = np.concatenate([[none], restricted])
    best = int(likelihoods.argmax())
    within = np.flatnonzero(likelihoods >= likelihoods[best] - _LOG_RATIO_LIMIT)
    return Spread(
        mu=float(mus[best]),
        tau=float(taus[best]),
        tau_low=float(taus[within[0]]),
        tau_high=None if within[-1] == len(taus) - 1 else float(taus[within[-1]]),
    )


def _restricted(hits: FloatArray, exposures: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Best mu and restricted log-likelihood for every positive tau: [T], [T]."""
    known = hits > 0
    mus = np.full(len(_TAUS), np.log(hits[known] / exposures[known]).mean())
    longest = 2 * np.maximum(1.0, _TAUS)
    for _ in range(50):
        _, slopes, bends = _marginal(mus, hits, exposures)
        steps = np.clip(-slopes / bends, -longest, longest)
        mus = mus + steps
        if np.abs(steps).max() < 1e-6:
            break
    values, _, bends = _marginal(mus, hits, exposures)
    return mus, values - 0.5 * np.log(-bends)


def _marginal(
    mus: FloatArray, hits: FloatArray, exposures: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log-likelihood with theta integrated out, its slope and its bend in mu: [T] each, at one mu per tau."""
    mu, tau = mus[:, None], _TAUS[:, None]  # [T, 1]
    shifted = mu + tau**2 * hits  # [T, V]
    modes = shifted - wrightomega(np.log(tau**2 * exposures) + shifted)
    widths = np.sqrt(2 / (exposures * np.exp(modes) + 1 / tau**2))
    theta = modes[..., None] + widths[..., None] * _NODES  # [T, V, Q]
    away = theta - mu[..., None]
    logs = (
        hits[:, None] * theta - exposures[:, None] * np.exp(theta) - away**2 / (2 * tau[..., None] ** 2)
    ) + (np.log(_NODE_WEIGHTS) + _NODES**2)
    mass = logsumexp(logs, axis=-1)  # [T, V]
    shares = np.exp(logs - mass[..., None])
    mean = (shares * away).sum(-1)
    variance = (shares * (away - mean[..., None]) ** 2).sum(-1)
    values = mass + np.log(widths) - np.log(tau) - 0.5 * np.log(2 * np.pi)
    slopes = mean / tau**2
    bends = (variance / tau**2 - 1) / tau**2
    return values.sum(-1), slopes.sum(-1), bends.sum(-1)
