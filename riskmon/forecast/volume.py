"""Tomorrow's requests per stratum: a flat model, honest about what it does not know.

In come exact request counts per window, out goes a predicted number of requests for the next 24 hours with draws
around it. The prediction is the count of the last 24 hours; with a shorter history it is the mean rate since the
first window with traffic, scaled to a day. Time of day and day of week are not modelled.

Let T be the observed span (at most a day), D = 24 h, N_s the requests of stratum s inside T. Then

    mean_s  = N_s D / T
    phi_s   = sum_j (y_j - mu_j)^2 / sum_j mu_j (1 - e_j / E),  at least 1
    V_s     ~ Poisson(mean_s A_s S)
    A_s     ~ Gamma(mean 1, variance phi_s / N_s + (phi_s - 1) / mean_s)
    S       ~ Gamma(mean 1, sd SWING (1 - T / D)),              one S for all strata

y_j are the counts of up to 24 blocks of windows, e_j their lengths (sum E) and mu_j = N_s e_j / E: phi is the
quasi-Poisson dispersion (McCullagh & Nelder 1989, ch. 6.2). A_s carries the error of the rate and the overdispersion
of the day itself, so V_s is negative binomial with variance phi mean + mean^2 phi / N. S is what a flat model cannot
see: the hours of the day that were not observed may be busier or quieter, for every stratum at once. It vanishes
when the span reaches a day.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from riskmon.records import FloatArray, Stratum, VolumeWindow

DAY = timedelta(days=1)

SHORTEST_SPAN = timedelta(minutes=5)
"""A shorter history is read as this long (or one window, where that is less): a burst is not a rate."""

SWING = 0.4
"""Relative sd of hourly traffic over a day; a sine with twice to three times the traffic at its peak has 0.25-0.35."""

BLOCKS = 24
"""Windows are pooled into this many blocks, so that dispersion does not depend on the configured window."""


@dataclass(frozen=True, slots=True, eq=False)
class VolumePrediction:
    """Requests of one stratum in the next 24 hours.

    Attributes:
        mean: expected requests.
        draws: [B] predictive draws, whole numbers; draw b of every stratum belongs to the same possible day.
        basis: one short phrase that says what the prediction rests on.
    """

    mean: float
    draws: FloatArray
    basis: str


def predict_daily_requests(
    windows: Sequence[VolumeWindow],
    *,
    window: timedelta,
    now: datetime,
    draws: int,
    rng: np.random.Generator,
) -> dict[Stratum, VolumePrediction]:
    """Predict the requests of the next 24 hours.

    Windows missing inside the span count as zero requests. Of a window that straddles the start of the last 24
    hours only the share inside counts; the window in progress counts with the time it has lasted. Windows that
    start after `now` are left out.

    Args:
        windows: counts, in any order; all start on one grid of `window`.
        window: length of a window.
        now: aware UTC time.
        draws: number B of predictive draws.
        rng: source of chance.

    Returns:
        One prediction per stratum with traffic inside the span, in the order of the strata; empty without traffic.
    """
    past = [w for w in windows if w.start < now and w.requests > 0]
    if not past:
        return {}
    since = max(min(w.start for w in past), now - DAY)
    span = max(now - since, min(window, SHORTEST_SPAN))
    recent = [w for w in past if w.start + window > since]
    if not recent:
        return {}

    # The grid of windows over the span, empty ones included; its first window may begin before `since`.
    anchor = recent[0].start
    first = anchor - math.ceil((anchor - since) / window) * window
    begin, end = (since - first) / window, (now - first) / window  # in windows from `first`
    index = np.arange(math.ceil(end))
    lengths = np.minimum(index + 1, end) - np.maximum(index, begin)  # [J] windows, share inside the span

    counts: dict[Stratum, FloatArray] = defaultdict(lambda: np.zeros(len(index)))
    for item in recent:
        inside = min((item.start + window - since) / window, 1.0)
        counts[item.stratum][(item.start - first) // window] += item.requests * inside

    swing = _mean_one(SWING**2 * (1 - span / DAY) ** 2, draws, rng)
    basis = _describe(span)
    predictions = {}
    for stratum in sorted(counts):
        seen = float(counts[stratum].sum())
        mean = seen * (DAY / span)
        dispersion = _dispersion(counts[stratum], lengths)
        spread = _mean_one(dispersion / seen + (dispersion - 1) / mean, draws, rng)
        requests = rng.poisson(mean * spread * swing).astype(np.float64)  # [B]
        predictions[stratum] = VolumePrediction(mean, requests, basis)
    return predictions


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


def _mean_one(variance: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """[B] gamma draws with mean 1 and the given variance."""
    if variance <= 0:
        return np.ones(draws)
    return rng.gamma(1 / variance, variance, size=draws)


def _describe(span: timedelta) -> str:
    if span >= DAY:
        return "requests of the last 24 h"
    minutes = span / timedelta(minutes=1)
    if minutes < 1:
        length = f"{span.total_seconds():.0f} s"
    else:
        length = f"{minutes:.0f} min" if minutes < 60 else f"{minutes / 60:.1f} h"
    return f"rate of the last {length}, scaled"
