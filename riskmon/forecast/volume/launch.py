"""Strata that were launched less than a day ago, beside others that are known for longer.

A launched stratum stays out of the total, so that the others keep their level. It is predicted from its own requests
since its start, along the total's shape of the day: its rate is N / sum of shape over the hours since then (the
request that starts the clock counts half). Its draws are the total's, relative to their mean, times a Gamma with mean
1 and variance (1 + c) / N, c the sampling variance of N over N (0 where every message was read), and times the S of
the flat model: that its own day has another shape cannot be seen before it is a day old.

A stratum without requests before yesterday is not always new: it may be rare. It counts as launched if its silence
was not chance: at its own rate since its first request (an hour at least) it would have had CERTAIN requests before.
A count from ranges of the topic tells as much as N / (1 + c) requests counted one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from riskmon.forecast.volume.calendar import LocalHours
from riskmon.forecast.volume.chance import counts_of, lognormal_one, mean_one
from riskmon.forecast.volume.flat import unseen_hours
from riskmon.forecast.volume.hours import CERTAIN, DAY_HOURS, HourlyCounts, worth
from riskmon.forecast.volume.prediction import VolumePrediction
from riskmon.records import FloatArray

if TYPE_CHECKING:  # its imports are heavy
    from riskmon.forecast.volume.total import TotalRates


def began_lately(hourly: HourlyCounts) -> NDArray[np.bool_]:
    """[S] strata that were launched less than a day ago."""
    began = np.argmax(hourly.counts > 0, axis=1)
    before = np.concatenate([[0.0], np.cumsum(hourly.covered)])
    absent, own = before[began], before[-1] - before[began]
    rate = (worth(hourly.counts, hourly.variances) - 1) / np.maximum(own, 1.0)
    lately: NDArray[np.bool_] = (own < DAY_HOURS) & (rate * absent >= CERTAIN)
    return lately


def predict_launched(
    requests: FloatArray,
    variances: FloatArray,
    covered: FloatArray,
    local: LocalHours,
    future: LocalHours,
    total: TotalRates,
    rng: np.random.Generator,
) -> VolumePrediction:
    """Predict one launched stratum.

    Args:
        requests: [n] its counts. variances: [n] their sampling variances.
        covered: [n] share of each hour that was counted.
        local: [n] labels of those hours. future: [H] labels of the coming ones.
        total: of the strata that are known for longer, over the same hours.
        rng: source of chance.
    """
    began = int(np.argmax(requests > 0))
    own = max(float(covered[began:].sum()), 1.0)
    seen = float(requests.sum())
    sampling = float(variances.sum()) / seen
    shape = total.profile.shape
    exposure = max(float((covered * shape[local.slot])[began:].sum()), 0.1)
    mean = (seen - 0.5 * (1 + sampling)) / exposure * shape[future.slot]
    relative = total.draws / np.maximum(total.mean, 1e-300)  # [B, H]
    draws = len(relative)
    doubt = mean_one((1 + sampling) / seen, (draws, 1), rng) * lognormal_one(unseen_hours(own, draws, rng))
    basis = f"own rate since its start {own:.1f} h ago, along the shape of the day of all traffic"
    return VolumePrediction(mean, counts_of(mean * relative * doubt, rng), basis)
