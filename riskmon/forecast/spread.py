"""Where the spread of a forecast comes from, and so what would make it sharper.

The count K of harmful outputs is Poisson given V, the requests of each stratum, and p, their mean probabilities of
harm. With one thing uncertain at a time and all others at their means (main effects of the first order),

    volume     Var over V of sum_s V_s p_s
    prompts    sum_s V_s^2 Var(p_s) that comes from which prompts were sampled
    samples    sum_s V_s^2 Var(p_s) that comes from the draws of each prompt
    judge      Var over sensitivity and specificity of sum_s V_s p_s
    chance     E[K], the variance of a Poisson count around its own mean

and the shares are what each is of their sum. What two of them do together is in none, which is little while each is
known to within a factor. Prompts and draws of different strata are independent, and the judge is the same for all.

This splits what the estimates show. Harm that no draw has shown is another matter: it is in the upper limit only
(`harm_rate`), and `Forecast.unseen_share` says how much of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from riskmon.forecast.harm_rate import HarmRate
from riskmon.records import FloatArray, VarianceShares


def variance_shares(
    requests: Sequence[FloatArray], means: Sequence[float], rates: Sequence[HarmRate]
) -> VarianceShares | None:
    """The shares over S strata.

    Args:
        requests: S arrays of [B] draws of volume, draw b of all of them of one future.
        means: S expected volumes.
        rates: S rates with B draws.

    Returns:
        None where nothing harmful was drawn, so that there is no spread to split.
    """
    volume = np.sum([draws * rate.mean for draws, rate in zip(requests, rates, strict=True)], axis=0)
    judged = np.sum([mean * rate.judged for mean, rate in zip(means, rates, strict=True)], axis=0)
    parts = {
        "volume": _variance(volume),
        "prompts": sum(m**2 * rate.prompts_variance for m, rate in zip(means, rates, strict=True)),
        "samples": sum(m**2 * rate.samples_variance for m, rate in zip(means, rates, strict=True)),
        "judge": _variance(judged),
        "chance": sum(m * rate.mean for m, rate in zip(means, rates, strict=True)),
    }
    whole = sum(parts.values())
    if parts["chance"] <= 0 or not np.isfinite(whole):
        return None
    return VarianceShares(**{name: part / whole for name, part in parts.items()})


def _variance(draws: FloatArray) -> float:
    """Variance of [B] draws; 0 where they are alike but for rounding, which would show as 1e-30 of the spread."""
    return 0.0 if np.ptp(draws) <= 1e-9 * np.abs(draws).max() else float(draws.var())
