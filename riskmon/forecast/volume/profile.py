"""The shape of the day: how much of a day's traffic falls into each local hour.

The classical ratio to the moving average. With y_t requests of hour t, e_t the share of it that was counted, slot s(t)
its local hour and L_t the level,

    L_t  = sum y / sum e f p     over the 24 hours around t (at the edges: the first or last 24)
    p_s  = (sum y + K) / (sum e f L + K)    over the hours of slot s, recent ones weighing more (half in 28 days)

in turns, p first 1. A full day holds each slot once, so its moving average is free of the shape of the day whatever
the shape is. f_t are factors of the days of the week, found in the same way around the average of a week; they only
keep L from being smeared across midnight before a weekend. K = 3 requests draw a slot without counts towards the flat
shape. With two weeks of history weekends have a shape of their own, drawn towards the common one by one day's worth of
traffic.

With less than three days this is the shape of yesterday. Outliers are set aside (`outliers`), and once more when the
shape is known.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskmon.forecast.volume.calendar import LocalHours
from riskmon.forecast.volume.hours import DAY_HOURS, WEEK_HOURS
from riskmon.forecast.volume.outliers import isolated, off_course
from riskmon.records import FloatArray

PRIOR_REQUESTS = 3.0
HALF_LIFE_HOURS = 28 * DAY_HOURS
ROUNDS = 3
WEEKEND_SHAPE_HOURS = 2 * WEEK_HOURS


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Shape of the day and what it was read from.

    Attributes:
        shape: [48] relative traffic per local hour, weekends apart; mean about 1.
        level: [n] requests per hour, without shape of the day.
        usable: [n] share of each hour that was counted and is no outlier.
    """

    shape: FloatArray
    level: FloatArray
    usable: FloatArray


def fit_profile(requests: FloatArray, covered: FloatArray, local: LocalHours) -> Profile:
    """Find the shape of the day.

    Args:
        requests: [n] counts, at least a day of them.
        covered: [n] share of each hour that was counted.
        local: [n] labels of the hours.
    """
    usable = np.where(isolated(requests, covered), 0.0, covered)
    shape, level = _fit(requests, usable, local)
    expected = usable * level * shape[local.slot]
    usable = np.where(off_course(requests, expected), 0.0, usable)
    shape, level = _fit(requests, usable, local)
    return Profile(shape, level, usable)


def _fit(y: FloatArray, e: FloatArray, local: LocalHours) -> tuple[FloatArray, FloatArray]:
    n = len(y)
    y = np.where(e > 0, y, 0.0)
    weight = 0.5 ** ((n - 1 - np.arange(n)) / HALF_LIFE_HOURS)
    shape, factor = np.ones(48), np.ones(n)
    level = moving_level(y, e, DAY_HOURS)
    for _ in range(ROUNDS):
        shape = _shape(y, e * factor * level, weight, local, weekends=n >= WEEKEND_SHAPE_HOURS)
        if n >= WEEKEND_SHAPE_HOURS:
            day = e * shape[local.slot]
            week = day * factor * moving_level(y, day * factor, WEEK_HOURS) / factor
            factor = _ratio(y, week, weight, local.weekday, 7)[local.weekday]
        level = moving_level(y, e * factor * shape[local.slot], DAY_HOURS)
    return shape, factor * level


def _shape(
    y: FloatArray, expected: FloatArray, weight: FloatArray, local: LocalHours, *, weekends: bool
) -> FloatArray:
    """[48] relative traffic per slot."""
    common = _ratio(y, expected, weight, local.hour, 24)
    both = np.concatenate([common, common])
    if not weekends:
        alike: FloatArray = both / common.mean()
        return alike
    one_day = np.concatenate([_sums(local.hour, weight * expected, 24)] * 2) / max(
        1.0, weight.sum() / DAY_HOURS
    )
    own = (_sums(local.slot, weight * y, 48) + one_day * both) / (
        _sums(local.slot, weight * expected, 48) + one_day + 1e-9
    )
    own = np.where(one_day > 0, own, both).reshape(2, 24)
    shape: FloatArray = (own / own.mean(axis=1, keepdims=True)).ravel()
    return shape


def _ratio(
    y: FloatArray, expected: FloatArray, weight: FloatArray, label: NDArray[np.int64], size: int
) -> FloatArray:
    """[size] observed to expected per label, drawn towards 1 by a few requests."""
    return (_sums(label, weight * y, size) + PRIOR_REQUESTS) / (
        _sums(label, weight * expected, size) + PRIOR_REQUESTS
    )


def _sums(label: NDArray[np.int64], values: FloatArray, size: int) -> FloatArray:
    return np.bincount(label, values, size).astype(np.float64)


def moving_level(requests: FloatArray, exposure: FloatArray, hours: int) -> FloatArray:
    """[n] requests per unit of exposure over the `hours` around each hour; at the edges over the first or last ones.

    Where nothing was counted the nearest level stands; it is positive where there are requests at all.
    """
    n = len(requests)
    span = min(hours, n)
    first = np.clip(np.arange(n) - span // 2, 0, n - span)
    y, e = (np.concatenate([[0.0], np.cumsum(x)]) for x in (requests, exposure))
    count, seen = y[first + span] - y[first], e[first + span] - e[first]
    overall = requests.sum() / exposure.sum()
    # Half a request spread over the span keeps an empty day from being exactly zero.
    level = (count + 0.5) / (seen + 0.5 / overall)
    known = seen > 0.05 * span * exposure.mean()
    at = np.arange(n)
    filled: FloatArray = np.interp(at, at[known], level[known])
    return filled
