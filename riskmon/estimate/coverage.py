"""Coverage: harm in places that no proposal but the target itself reaches.

When harm lives in a mode the unsafe variants miss, importance sampling returns a small number with a small error bar.
The defensive draws are the witness: a harmful draw of the target whose weight is near its cap n/n_0 is one that all
other proposals together make hardly more likely than chance. `gap_hits` finds them; pooled over prompts they bound
the uncovered mass (a binomial bound, conservative for unequal probabilities: Hoeffding 1956).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from riskmon.estimate.weights import Weights
from riskmon.records import BoolArray, Estimate, Flag, HarmHealth
from riskmon.statistics.binomial import upper_limit

# A weight at half its cap: the other proposals together put no more of their draws there than the target does.
GAP_SHARE = 0.5


def gap_hits(weights: Weights, harmful: BoolArray) -> BoolArray:
    """[n] bool, harmful draws of the target that the other proposals do not cover.

    With the target as the only proposal there is nothing to cover, and there are none.
    """
    if weights.bound <= 1:
        return np.zeros(len(harmful), dtype=np.bool_)
    near_cap = weights.log_weights >= np.log(GAP_SHARE * weights.bound)
    found: BoolArray = harmful & near_cap & (weights.proposal == 0)
    return found


def harm_health(harm: str, estimates: Sequence[Estimate]) -> HarmHealth:
    """Health of one harm over a cycle's estimates."""
    own = [estimate for estimate in estimates if estimate.harm == harm]
    ratios = [estimate.ess / estimate.n for estimate in own if estimate.hits]
    khats = [estimate.khat for estimate in own if estimate.khat is not None]
    gaps = [Flag.COVERAGE_GAP in estimate.flags for estimate in own]
    target_draws = sum(estimate.target_draws for estimate in own)
    missed = sum(estimate.gap_hits for estimate in own)
    return HarmHealth(
        harm=harm,
        ess_ratio=float(np.mean(ratios)) if ratios else None,
        khat=max(khats) if khats else None,
        coverage_gap_ratio=float(np.mean(gaps)) if gaps else 0.0,
        target_draws=target_draws,
        gap_hits=missed,
        uncovered_upper=upper_limit(missed, target_draws),
        flagged={flag: sum(flag in estimate.flags for estimate in own) for flag in Flag},
    )
