"""The flat model, for less than a day of history: the rate so far goes on, with honest doubt about it.

Let T be the observed time (gaps left out), D = 24 h, N_s the requests of stratum s inside T. Then for every hour h

    mean_s  = N_s / T  per hour
    c_s     = sampling variance of N_s / N_s,                   0 where every message was read
    phi_s   = sum_j (y_j - mu_j)^2 / sum_j mu_j (1 - e_j / E) - c_s,  at least 1
    V_sh    ~ Poisson(mean_s A_s O_sh S W_h)
    A_s     ~ Gamma(mean 1, variance (phi_s + c_s) / N_s)
    O_sh    ~ Gamma(mean 1, variance (phi_s - 1) / mean_s)
    S       ~ lognormal(mean 1, log-sd SWING sinc(T / D)),       one S for all strata
    W_h     ~ lognormal(mean 1), one W for all strata: a walk of DRIFT a day, and WEEK times the share of the history
              that was of the other kind (weekend or not) than hour h

y_j are the counts of up to 24 blocks of windows, e_j their lengths (sum E) and mu_j = N_s e_j / E: phi is the
quasi-Poisson dispersion (McCullagh & Nelder 1989, ch. 6.2). Where requests were counted from a sample of the topic,
the counts stray by c more than the requests do: the rate is known the less for it, the hours to come are not. A_s
carries the error of the rate, O_sh the overdispersion of the hours to come; over a day they make V_s negative
binomial with variance phi mean + mean^2 phi / N. S is what a flat model cannot see: the hours of the day that were
not observed may be busier or quieter, for every stratum at once. If the day is a sine of sd SWING, T hours in a row
stray from the mean of the day by SWING sinc(T / D), sinc(x) = sin(pi x) / (pi x): after twelve hours still by two
thirds of it, after a day by nothing. W is what a day cannot tell of the next ones.

A stratum that began later than the others is read from its own first window (at least an hour) if its silence before
was not chance: at its own rate it would have had CERTAIN requests in that time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from riskmon.forecast.volume.calendar import HOUR, LocalHours
from riskmon.forecast.volume.chance import counts_of, lognormal_one, mean_one
from riskmon.forecast.volume.hours import CERTAIN, DAY_HOURS, HourlyCounts, worth
from riskmon.forecast.volume.prediction import VolumePrediction
from riskmon.records import FloatArray, Stratum, VolumeWindow

SHORTEST_SPAN = timedelta(minutes=5)
"""A shorter history is read as this long (or one window, where that is less): a burst is not a rate."""

SWING = 0.6
"""Log-sd of hourly traffic over a day; a sine with two, four or six times the traffic at its peak has 0.24, 0.48 or
0.61."""

WEEK, DRIFT = 0.35, 0.06
"""Log-sd of a weekend against a working day, and of a day against the day before."""

BLOCKS = 24
"""Windows are pooled into this many blocks, so that dispersion does not depend on the configured window."""


def predict_flat(
    windows: Sequence[VolumeWindow],
    hourly: HourlyCounts,
    *,
    window: timedelta,
    now: datetime,
    local: LocalHours,
    future: LocalHours,
    draws: int,
    rng: np.random.Generator,
) -> dict[Stratum, VolumePrediction]:
    """Predict every hour of `future` for every stratum of `hourly`.

    Args:
        windows: those that `hourly` was made of.
        hourly: the same on a grid of hours; tells the gaps.
        window: length of a window. now: aware time.
        local: labels of the hours of `hourly`. future: [H] of the hours from `now`.
        draws: number B of draws. rng: source of chance.
    """
    counts, variances, lengths = _fine_counts(windows, hourly, window, now)
    shortest = min(window, SHORTEST_SPAN)
    unseen = unseen_hours(hourly.known_hours, draws, rng) + _unseen_days(
        local, hourly.covered, future, draws, rng
    )
    shared = lognormal_one(unseen)  # S W, [B, H]
    predictions = {}
    for stratum, whole, doubt in zip(hourly.strata, counts, variances, strict=True):
        begin = _own_begin(whole, doubt, lengths, window)
        y, e = whole[begin:], lengths[begin:]
        span = max(float(e.sum()) * window, shortest)
        rate = float(y.sum()) * (HOUR / span)
        sampling = float(doubt[begin:].sum() / y.sum())
        dispersion = max(1.0, _dispersion(y, e) - sampling)
        level = mean_one((dispersion + sampling) / float(y.sum()), (draws, 1), rng)
        own = level * mean_one((dispersion - 1) / rate, (draws, len(future)), rng)  # [B, H]
        basis = _describe(span)
        predictions[stratum] = VolumePrediction(
            np.full(len(future), rate), counts_of(rate * own * shared, rng), basis
        )
    return predictions


def _fine_counts(
    windows: Sequence[VolumeWindow], hourly: HourlyCounts, window: timedelta, now: datetime
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """On the grid of windows: counts [S, J], their sampling variances [S, J], and [J] how much was observed.

    The last is in windows, and 0 in a gap.
    """
    row = {stratum: k for k, stratum in enumerate(hourly.strata)}
    past = [w for w in windows if hourly.start < w.start + window and w.start < now and w.stratum in row]
    first = min(w.start for w in past)
    end = (now - first) / window
    index = np.arange(math.ceil(end))
    counts, variances = np.zeros((2, len(row), len(index)))
    for item in past:
        cell = row[item.stratum], (item.start - first) // window
        counts[cell] += item.requests
        variances[cell] += item.variance
    lengths = np.minimum(index + 1, end) - index
    hour = ((first - hourly.start) / HOUR + (index + lengths / 2) * (window / HOUR)).astype(np.int64)
    seen = hourly.covered[np.clip(hour, 0, len(hourly) - 1)] > 0
    return counts, variances, np.where(seen, lengths, 0.0)


def _own_begin(counts: FloatArray, variances: FloatArray, lengths: FloatArray, window: timedelta) -> int:
    """First window that a stratum is read from; 0 unless it began later than the others."""
    begin = int(np.flatnonzero(counts)[0])
    while begin > 0 and lengths[begin:].sum() * window < HOUR:
        begin -= 1
    rate = float(worth(counts, variances)) / max(lengths[begin:].sum(), 1e-9)
    return begin if rate * lengths[:begin].sum() >= CERTAIN else 0


def unseen_hours(known_hours: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """log S, [B, 1], after so many hours in a row."""
    left = float(np.sinc(min(known_hours / DAY_HOURS, 1.0)))
    return SWING * left * rng.standard_normal((draws, 1))


def _unseen_days(
    local: LocalHours, covered: FloatArray, future: LocalHours, draws: int, rng: np.random.Generator
) -> FloatArray:
    """log W, [B, H]."""
    day = np.arange(len(future)) // DAY_HOURS
    walk = np.cumsum(rng.normal(0.0, DRIFT, size=(draws, day[-1] + 1)), axis=1)
    weekends = float(local.weekend @ covered / covered.sum())
    other = np.abs(future.weekend - weekends)  # [H]
    logs: FloatArray = walk[:, day] + rng.normal(0.0, WEEK, size=(draws, 1)) * other
    return logs


def _dispersion(counts: FloatArray, lengths: FloatArray) -> float:
    """Quasi-Poisson dispersion of counts over windows of the given lengths ([J] each); at least 1.

    A ratio of sums, not Pearson's sum of ratios: a window that has only just begun expects next to nothing, and
    must not decide the result.
    """
    starts = np.arange(0, len(counts), math.ceil(len(counts) / BLOCKS))
    y, e = np.add.reduceat(counts, starts), np.add.reduceat(lengths, starts)
    share = e / e.sum()
    mu = y.sum() * share
    noise = float((mu * (1 - share)).sum())
    if noise <= 0:  # a single block says nothing about dispersion
        return 1.0
    return max(1.0, float(((y - mu) ** 2).sum()) / noise)


def _describe(span: timedelta) -> str:
    minutes = span / timedelta(minutes=1)
    if minutes < 1:
        length = f"{span.total_seconds():.0f} s"
    else:
        length = f"{minutes:.0f} min" if minutes < 60 else f"{minutes / 60:.1f} h"
    return f"rate of the last {length}, scaled"
