"""Importance weights of a deterministic mixture (balance heuristic), in log space until the edge.

    w(y) = p(y) / sum_k (n_k / n) q_k(y)   <=   n / n_0

The bound holds because the target is one of the proposals, with n_0 of the n draws (Veach & Guibas 1995; Owen & Zhou
2000). E[w] = 1 under the mixture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from riskmon.records import Draws, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Weights:
    """Importance weights of n draws.

    Attributes:
        log_weights: [n] float64; -inf for draws outside the target's support.
        proposal: [n] int64, which proposal drew each.
        bound: n / n_0, the largest a weight can be.
    """

    log_weights: FloatArray
    proposal: IntArray
    bound: float

    @property
    def values(self) -> FloatArray:
        """[n] float64 weights."""
        return np.exp(self.log_weights)


def balance_weights(draws: Draws) -> Weights:
    """Balance-heuristic weights.

    Raises:
        FloatingPointError: a weight is not a number, or breaks its bound; the draws are then wrong, not unlucky.
    """
    n = len(draws)
    with np.errstate(divide="ignore"):  # a proposal may hold no draws: log 0 = -inf drops it from the mixture
        log_shares = np.log(draws.counts / n)
    log_mixture = logsumexp(draws.log_proposals + log_shares[:, None], axis=0)
    log_weights = draws.log_target - log_mixture
    bound = n / int(draws.counts[0])
    if np.isnan(log_weights).any() or log_weights.max() > np.log(bound) + 1e-6:
        raise FloatingPointError("an importance weight is not a number or exceeds its bound")
    return Weights(log_weights=log_weights, proposal=draws.proposal, bound=bound)


def effective_sample_size(values: FloatArray) -> float:
    """(sum v)^2 / sum v^2 of non-negative values; 0 where all are zero."""
    largest = float(values.max(initial=0.0))
    if largest == 0.0:
        return 0.0
    scaled = values / largest
    return float(scaled.sum() ** 2 / np.square(scaled).sum())


def stratified_stderr(values: FloatArray, proposal: IntArray) -> float | None:
    """Standard error of the mean of `values`, with the proposals as strata.

    The number of draws per proposal is fixed, so differences between proposals' means are no source of error.
    Proposals with a single draw are pooled into one stratum, which can only overstate.

    Returns:
        None for fewer than two draws: unknown is not zero.
    """
    n = len(values)
    if n < 2:
        return None
    sizes = np.bincount(proposal)
    stratum = np.where(sizes[proposal] >= 2, proposal, len(sizes))
    total = 0.0
    for label in np.unique(stratum):
        member = values[stratum == label]
        # The spread of a single lonely draw is unknown; the overall one stands in.
        spread = member if len(member) >= 2 else values
        total += len(member) * float(np.var(spread, ddof=1))
    return float(np.sqrt(total) / n)
