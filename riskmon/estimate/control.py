"""A control variate on the mean weight, whose expectation is known to be 1.

    p_hat = mean(x) - beta (mean(w) - 1),   x = w h

lowers the variance where harm is common enough for w h to follow w. The slope beta and the decision to use it come
from the pilot, never from the draws they are applied to, so the estimate stays exactly unbiased. The pilot was drawn
from another mixture q than the main stage's q'; its draws are reweighted by q'/q.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from riskmon.estimate.proposals import Proposal, log_densities
from riskmon.estimate.weights import effective_sample_size
from riskmon.records import Draws, FloatArray, IntArray

# The variance must fall by this share, as far as the pilot can tell, and the pilot must hold so many hits.
_WORTH = 0.15
_FEWEST_HITS = 10.0


def control_slope(
    pilot: Draws, events: FloatArray, proposals: tuple[Proposal, ...], counts: IntArray
) -> float:
    """The slope for a stage that will draw counts[k] sequences from each proposal; 0 where it would not help.

    Args:
        pilot: n draws of the pilot. events: [n] float64, their h.
        proposals, counts: of the stage to come.
    """
    if len(proposals) == 1:
        return 0.0
    with np.errstate(divide="ignore"):
        log_mixture = logsumexp(
            log_densities(pilot.token_log_probs, proposals) + np.log(counts / counts.sum())[:, None], axis=0
        )
        log_pilot = logsumexp(pilot.log_proposals + np.log(pilot.counts / len(pilot))[:, None], axis=0)
    if np.isnan(log_mixture).any():
        return 0.0  # the pilot was not scored under all of the new proposals
    ratio = np.exp(log_mixture - log_pilot)  # [n], q'/q
    # Outside the target's support the new proposals may be unable to say a draw too; its weight is 0 in any case.
    inside = np.isfinite(pilot.log_target)
    log_weights = np.full(len(pilot), -np.inf)
    log_weights[inside] = pilot.log_target[inside] - log_mixture[inside]
    weights = np.exp(log_weights)
    terms = weights * events
    if effective_sample_size(terms) < _FEWEST_HITS or ratio.sum() == 0:
        return 0.0
    share = ratio / ratio.sum()
    off = weights - share @ weights
    spread = float(share @ off**2)
    joint = float(share @ (off * (terms - share @ terms)))
    whole = float(share @ (terms - share @ terms) ** 2)
    # Of a rare harm a pilot may show a negative slope, by chance: w h of few hits against w.
    if joint <= 0 or joint**2 < _WORTH * spread * whole:
        return 0.0
    return joint / spread
