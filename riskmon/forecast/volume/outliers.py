"""Hours that say nothing of tomorrow: outages and one-off spikes.

An hour is set aside in two cases. Before the shape of the day is known: when it stands out, by a factor of four,
among the hours next to it *and* among the same hours of the days around it; a nightly batch job stands out among its
neighbours only. Once the shape is known: when its ratio to what was expected stands out by a factor of 1.5 and four
standard deviations from the running median over 13 hours. Up to six hours in a row are set aside that way; at the end
of the history a shift of level is believed from its seventh hour on, until then it could be a spike.

Both use x = log(y + 1/2), whose sd is about mu^-1/2 for a Poisson count with mean mu.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from riskmon.forecast.volume.hours import DAY_HOURS
from riskmon.records import FloatArray

STANDS_OUT, DIFFERS, OFF = np.log(4.0), np.log(2.5), np.log(1.5)
SIGMAS = 4.0
NEAR, AROUND, DAYS = 3, 6, 3


def isolated(requests: FloatArray, covered: FloatArray) -> NDArray[np.bool_]:
    """[n] hours that stand out among neighbours and among the same hours of other days; [n] counts, [n] share counted.

    Without another day to compare with, the neighbours decide.
    """
    usable = covered >= 0.25
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(usable, np.log(requests / covered + 0.5), np.nan)
    near = _median_at(x, np.arange(-NEAR, NEAR + 1))
    days = DAY_HOURS * np.concatenate([np.arange(-DAYS, 0), np.arange(1, DAYS + 1)])
    other = _median_at(x, days)
    noise = SIGMAS * np.exp(-np.fmin(near, x) / 2)
    lone = np.abs(x - near) > np.maximum(STANDS_OUT, noise)
    unlike = np.isnan(other) | (np.abs(x - other) > DIFFERS)
    found: NDArray[np.bool_] = lone & unlike
    return found


def off_course(requests: FloatArray, expected: FloatArray) -> NDArray[np.bool_]:
    """[n] hours whose count strays from what was expected (0: not counted) as the hours around it do not."""
    usable = expected > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(usable, np.log((requests + 0.5) / (expected + 0.5)), np.nan)
        poisson = np.where(usable, 1 / np.maximum(expected, 0.5), np.nan)
    away = ratio - _median_at(ratio, np.arange(-AROUND, AROUND + 1))
    if not usable.any():
        return np.zeros(len(requests), dtype=bool)
    spread = (1.4826 * float(np.nanmedian(np.abs(away)))) ** 2
    limit = np.maximum(OFF, SIGMAS * np.sqrt(np.maximum(spread, poisson)))
    return np.nan_to_num(np.abs(away)) > limit


def _median_at(x: FloatArray, lags: NDArray[np.int64]) -> FloatArray:
    """[n] median of x over the given lags that lie inside; NaN where none is known."""
    at = np.arange(len(x))[:, None] + lags
    values = np.where((at >= 0) & (at < len(x)), x[np.clip(at, 0, len(x) - 1)], np.nan)
    known = ~np.isnan(values).all(axis=1)
    medians = np.full(len(x), np.nan)
    medians[known] = np.nanmedian(values[known], axis=1)
    return medians
