"""Which model predicts what: the front of the volume model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.volume.calendar import local_hours
from riskmon.forecast.volume.chance import counts_of
from riskmon.forecast.volume.flat import predict_flat
from riskmon.forecast.volume.hours import DAY_HOURS, WEEK_HOURS, HourlyCounts, count_hours
from riskmon.forecast.volume.launch import began_lately, predict_launched
from riskmon.forecast.volume.prediction import VolumePrediction
from riskmon.records import Stratum, VolumeWindow

FULL_HOURS = 3 * DAY_HOURS
_ROUNDING = 1e-6


def predict_requests(
    windows: Sequence[VolumeWindow],
    *,
    window: timedelta,
    now: datetime,
    hours: int,
    draws: int,
    rng: np.random.Generator,
    config: VolumeConfig,
) -> dict[Stratum, VolumePrediction]:
    """Predict the requests of the coming hours.

    Args:
        windows: counts, in any order; all start on one grid of `window`. Those that start after `now` are left
            out; the one in progress counts with the time it has lasted.
        window: length of a window.
        now: aware time.
        hours: H, how many.
        draws: number B of predictive draws. B H numbers of eight bytes are kept per stratum.
        rng: source of chance.
        config: local calendar, and how far back counts tell of tomorrow.

    Returns:
        One prediction per stratum with traffic in the last seven days (or less than a day of history), in the order
        of the strata; empty without any.
    """
    hourly = count_hours(windows, window=window, now=now, history=config.history)
    if hourly is None:
        return {}
    if hourly.known_hours < DAY_HOURS - _ROUNDING:
        found = predict_flat(
            windows,
            hourly,
            window=window,
            now=now,
            local=local_hours(hourly.start, len(hourly), config),
            future=local_hours(now, hours, config),
            draws=draws,
            rng=rng,
        )
    else:
        found = _predict_by_share(hourly, now=now, hours=hours, draws=draws, rng=rng, config=config)
    if hourly.silent:
        note = f"; no counts for the last {hourly.silent} h"
        found = {stratum: replace(one, basis=one.basis + note) for stratum, one in found.items()}
    return found


def _predict_by_share(
    hourly: HourlyCounts,
    *,
    now: datetime,
    hours: int,
    draws: int,
    rng: np.random.Generator,
    config: VolumeConfig,
) -> dict[Stratum, VolumePrediction]:
    """The total by its own model, strata as shares of it, launches apart."""
    from riskmon.forecast.volume.shares import fit_shares, split
    from riskmon.forecast.volume.total import predict_total

    local, future = local_hours(hourly.start, len(hourly), config), local_hours(now, hours, config)
    young = began_lately(hourly)
    old = np.flatnonzero(~young)
    counts = hourly.counts[old]
    total = predict_total(hourly, counts.sum(axis=0), local, hours=hours, draws=draws, rng=rng, config=config)
    basis = _describe(hourly.known_hours)
    predictions: dict[Stratum, VolumePrediction] = {}
    if len(old) == 1:
        one = VolumePrediction(total.mean, counts_of(total.draws, rng), basis)
        predictions[hourly.strata[int(old[0])]] = one
    else:
        shares = fit_shares(counts, hourly.variances[old], total.profile.usable, local)
        means = total.mean * shares.weights(future)  # [S, H]
        for row, own, mean, rates in zip(
            old, counts, means, split(shares, total.draws, future, rng), strict=True
        ):
            if own[-WEEK_HOURS:].any():
                predictions[hourly.strata[row]] = VolumePrediction(
                    mean, counts_of(rates, rng), f"{basis}; a share of all traffic"
                )
    for row in np.flatnonzero(young):
        predictions[hourly.strata[row]] = predict_launched(
            hourly.counts[row], hourly.variances[row], hourly.covered, local, future, total, rng
        )
    return {stratum: predictions[stratum] for stratum in sorted(predictions)}


def _describe(known_hours: float) -> str:
    if known_hours < FULL_HOURS - _ROUNDING:
        return f"yesterday's hours, at the level of the last {known_hours:.0f} h"
    days = f"{known_hours / DAY_HOURS:.0f} days"
    if known_hours < WEEK_HOURS - _ROUNDING:
        return f"hour of the day and level of {days}"
    return f"hour of the day, day of the week, level and trend of {days}"
