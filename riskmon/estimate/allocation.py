"""Where further draws help the forecast most.

Every prompt of a cycle gets the same number of draws first. What is left of the device budget goes by Neyman's rule:
the forecast sums W_j p_j over prompts j, W_j the requests a prompt stands for, so with n_j draws at c_j seconds each

    minimise  sum_j W_j^2 s_j^2 / n_j   subject to   sum_j c_j n_j = budget     =>     n_j  ~  W_j s_j / sqrt(c_j)

between what a prompt has and a limit. s_j is the spread of one draw's w h in the prompt's *pilot*, which does not count
in p: were it taken from the draws that count, prompts whose draws by chance showed nothing would get no more and stay
at nothing, and the forecast would come out too low. A pilot of a hundred draws knows its spread badly, so it is pulled
towards the mean over prompts. With several harms the relative variances add up. Prompts whose share of the forecast's
variance is below a limit are left as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from riskmon.records import FloatArray, IntArray

# The mean over prompts is worth so many pilot draws.
_PRIOR_DRAWS = 20
# Fewer further draws are not worth a prefill.
_FEWEST = 16


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prompt that was estimated and may get further draws.

    Attributes:
        requests: W, requests it stands for.
        spread: per harm, (standard deviation, mean) of one pilot draw's w h.
        pilot_draws: draws behind `spread`. draws: draws so far that count in p.
        seconds_per_draw: device time of one draw.
    """

    requests: float
    spread: tuple[tuple[float, float], ...]
    pilot_draws: int
    draws: int
    seconds_per_draw: float


def further_draws(candidates: Sequence[Candidate], seconds: float, limit: int, early_stop: float) -> IntArray:
    """Further draws per candidate: [m] int64, 0 for those that are left as they are.

    Args:
        seconds: device time there is. limit: most draws of one prompt that count, those it has included.
        early_stop: share of the forecast's variance below which a prompt is left as it is.
    """
    none = np.zeros(len(candidates), dtype=np.int64)
    if not candidates or seconds <= 0:
        return none
    requests = np.array([c.requests for c in candidates])
    cost = np.array([max(c.seconds_per_draw, 1e-9) for c in candidates])
    drawn = np.array([c.draws for c in candidates], dtype=np.float64)
    variance = _relative_variance(candidates, requests)
    share = requests**2 * variance / drawn
    if share.sum() == 0:
        return none
    open_ = share >= early_stop * share.sum()
    wish = np.where(open_, requests * np.sqrt(variance / cost), 0.0)
    cap = np.maximum(drawn, limit)

    def total(scale: float) -> FloatArray:
        return np.clip(scale * wish, drawn, np.where(open_, cap, drawn))

    def overspent(scale: float) -> float:
        return float((cost * (total(scale) - drawn)).sum()) - seconds

    top = float((cap[open_] / wish[open_]).max())
    scale = top if overspent(top) <= 0 else brentq(overspent, 0.0, top)
    extra = np.floor(total(scale) - drawn).astype(np.int64)
    return np.where(extra >= _FEWEST, extra, 0)


def _relative_variance(candidates: Sequence[Candidate], requests: FloatArray) -> FloatArray:
    """Per candidate, variance of one draw's w h relative to the squared mean over prompts, summed over harms: [m]."""
    spread = np.array([[harm[0] for harm in c.spread] for c in candidates])  # [m, harms]
    mean = np.array([[harm[1] for harm in c.spread] for c in candidates])
    pilot = np.array([c.pilot_draws for c in candidates], dtype=np.float64)[:, None]
    share = (requests / requests.sum())[:, None]
    pulled = (pilot * spread**2 + _PRIOR_DRAWS * (share * spread**2).sum(axis=0)) / (pilot + _PRIOR_DRAWS)
    overall = (share * mean).sum(axis=0)  # [harms]
    seen = overall > 0
    found: FloatArray = (pulled[:, seen] / overall[seen] ** 2).sum(axis=1)
    return found
