"""Strata as shares of all traffic: simple exponential smoothing by the day, all strata at once.

The total carries what strata have in common: season, trend, level, outages. A stratum s has a share of its own, and a
shape of the day of its own relative to the total's, R_s: a ratio of sums per slot over four weeks up to yesterday (so
that a step of today is not taken for a shape), drawn towards 1 by ten requests. With Y_t the total's requests and
days of 24 hours counted back from now,

    x_sd = sum_{t in d} Y_t R_s(t),     theta_s = sum_d delta^age y_sd / sum_d delta^age x_sd

predicts day d + 1 from the days up to d. delta in {0.1 ... 0.95} is, per stratum, the one with the smallest errors
one day ahead, e = log((y + 1/2) / (theta x + 1/2)); tau_s^2 is their variance beyond Poisson's, shrunk to (0.1)^2
with the weight of four days. This is exponential smoothing in its innovations form (Hyndman et al. 2008, ch. 2), and
its draws follow from it: share of day j = level + e_j, level' = level + (1 - delta) e_j, e ~ tau_s t(4 + days). A day
off by more than four standard deviations and a factor 1.5 is a step: only that day counts from then on. So a stratum
that stopped goes to zero within a day, and a moved tenant to its new level. More than one step and one a fortnight
are no steps but a restless share: their errors count in tau, and its level is that of the last day.

Where requests were counted from ranges of the topic, a count strays by its sampling variance v besides, and tells as
much as one of y / (1 + c) requests, c = v / y of the day, or of the days before where that is more (a day without a
hit has no variance of its own). So 1 + c stands wherever one request does above: in 1 / mu, in the half that is
added, in the ten that draw shapes. tau stays that of the requests, and the doubt about the level is that of the
counts. The total needs none of this: its count is exact, since what one stratum has too much another has too little.

Shares of a draw are made to add up to one: the strata of a possible day sum to that day's total.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from riskmon.forecast.volume.calendar import LocalHours
from riskmon.forecast.volume.chance import lognormal_one
from riskmon.forecast.volume.hours import DAY_HOURS, WEEK_HOURS
from riskmon.records import FloatArray

KEPT = np.array([0.1, 0.3, 0.5, 0.7, 0.85, 0.95])
USUAL = 3
"""Index of the delta of a stratum with fewer than three days to judge by."""

PRIOR_REQUESTS, PRIOR_SD, PRIOR_DAYS = 10.0, 0.1, 4.0
STEP_SIGMAS, STEP_FACTOR, MOST_STEPS = 4.0, np.log(1.5), 1 / 14
SHAPE_HOURS = 4 * WEEK_HOURS


@dataclass(frozen=True, slots=True, eq=False)
class Shares:
    """Shares of S strata.

    Attributes:
        level: [S] theta. shape: [S, 48] R per local hour, weekends apart.
        gain: [S] 1 - delta. spread: [S] tau, the error of the level included. degrees: [S] of its t distribution.
    """

    level: FloatArray
    shape: FloatArray
    gain: FloatArray
    spread: FloatArray
    degrees: FloatArray

    def weights(self, future: LocalHours) -> FloatArray:
        """[S, H] expected share of every coming hour; sums to one over strata where any is positive."""
        weights = self.level[:, None] * self.shape[:, future.slot]
        shares: FloatArray = weights / np.maximum(weights.sum(axis=0), 1e-300)
        return shares

    def moves(self, days: int, draws: int, rng: np.random.Generator) -> FloatArray:
        """[B, S, days] multipliers of the shares, before they are made to add up."""
        size = draws, len(self.level)
        tail = np.sqrt(self.degrees / rng.chisquare(self.degrees, size=size))
        level, logs = np.zeros(size), np.empty((*size, days))
        for day in range(days):
            error = self.spread * tail * rng.standard_normal(size)
            logs[:, :, day] = level + error
            level += self.gain * error
        return lognormal_one(np.clip(logs, -4.0, 4.0))


def split(
    shares: Shares, rates: FloatArray, future: LocalHours, rng: np.random.Generator
) -> Iterator[FloatArray]:
    """Splits draws of the total's rates [B, H] into those of each stratum, [B, H] each, one after the other."""
    day = np.arange(len(future)) // DAY_HOURS
    weights = shares.weights(future)  # [S, H]
    moves = shares.moves(int(day[-1]) + 1, len(rates), rng)  # [B, S, days]
    sums = np.empty(rates.shape)
    for d in range(int(day[-1]) + 1):
        sums[:, day == d] = moves[:, :, d] @ weights[:, day == d]
    unit = rates / np.maximum(sums, 1e-300)
    for k in range(len(weights)):
        yield unit * weights[k] * moves[:, k][:, day]


def fit_shares(counts: FloatArray, variances: FloatArray, usable: FloatArray, local: LocalHours) -> Shares:
    """Find the shares of strata.

    Args:
        counts: [S, n] requests per stratum and hour; each stratum has at least one.
        variances: [S, n] their sampling variances.
        usable: [n] 0 for hours to be left out.
        local: [n] labels.
    """
    counts = np.where(usable > 0, counts, 0.0)
    total = counts.sum(axis=0)
    settled = slice(-SHAPE_HOURS, -DAY_HOURS) if counts.shape[1] >= 3 * DAY_HOURS else slice(None)
    shape = _shapes(counts[:, settled], variances[:, settled], local[settled])
    began = np.argmax(counts > 0, axis=1)  # [S]
    alive = np.arange(counts.shape[1]) >= began[:, None]
    exposure = alive * total * shape[:, local.slot]
    v = _days(np.where(usable > 0, variances, 0.0))
    y, x = _days(counts), _days(exposure)  # [S, D], the newest last
    return _smooth(y, v, x, shape)


def _days(values: FloatArray) -> FloatArray:
    """[S, D] sums over days of 24 hours counted back from now; hours of an unfinished first day are left out."""
    days = max(1, values.shape[1] // DAY_HOURS)
    recent = values[:, -days * DAY_HOURS :]
    sums: FloatArray = recent.reshape(len(values), days, -1).sum(axis=2)
    return sums


def _shapes(counts: FloatArray, variances: FloatArray, local: LocalHours) -> FloatArray:
    """[S, 48] R: shape of each stratum relative to the total's."""
    total = counts.sum(axis=0)
    share = counts.sum(axis=1, keepdims=True) / max(total.sum(), 1e-300)  # [S, 1]
    hours = _sums(counts, local.hour, 24), share * _sums(total[None], local.hour, 24)
    one = 1 + variances.sum(axis=1) / np.maximum(counts.sum(axis=1), 1.0)
    prior = PRIOR_REQUESTS * one[:, None]
    common = (hours[0] + prior) / (hours[1] + prior)  # [S, 24]
    both = np.concatenate([common, common], axis=1)
    if counts.shape[1] < 2 * WEEK_HOURS:
        return both
    expected = share * _sums(total[None], local.slot, 48) * both
    one_day = counts.sum(axis=1) / (counts.shape[1] / DAY_HOURS)
    observed = _sums(counts, local.slot, 48)
    factor = np.stack(
        [
            (observed[:, part].sum(axis=1) + one_day) / (expected[:, part].sum(axis=1) + one_day + 1e-300)
            for part in (slice(0, 24), slice(24, 48))
        ],
        axis=1,
    )  # [S, 2] working days, weekend
    shapes: FloatArray = both * np.repeat(factor, 24, axis=1)
    return shapes


def _sums(values: FloatArray, label: NDArray[np.int64], size: int) -> FloatArray:
    """[S, size] sums of [S, n] per label."""
    sums: FloatArray = values @ np.eye(size)[label]
    return sums


def _smooth(y: FloatArray, v: FloatArray, x: FloatArray, shape: FloatArray) -> Shares:
    """Levels by exponential smoothing, of [S, D] requests, their sampling variances, and exposures."""
    strata, days = y.shape
    count, doubt, seen = np.zeros((3, len(KEPT), strata))
    score, excess, scored = np.zeros_like(count), np.zeros_like(count), np.zeros_like(count)
    jumps, jumped = np.zeros_like(count), np.zeros_like(count)
    for day in range(days):
        one = 1 + np.maximum(v[:, day] / np.maximum(y[:, day], 1.0), doubt / np.maximum(count, 1.0))
        expected = np.where(seen > 0, count / np.maximum(seen, 1e-300), 0.0) * x[:, day] + one / 2
        error = np.log((y[:, day] + one / 2) / expected)
        known = (seen > 0) & (x[:, day] > 0)
        noise = one / expected
        limit = STEP_SIGMAS * np.sqrt(noise + PRIOR_SD**2)
        step = known & (np.abs(error) > np.maximum(limit, STEP_FACTOR))
        judged = known & ~step
        jumps, jumped = jumps + step, jumped + np.where(step, error**2, 0.0)
        score += np.where(judged, error**2 / (noise + PRIOR_SD**2), 0.0) + 9.0 * step
        excess += np.where(judged, error**2 - noise, 0.0)
        scored += judged
        kept = np.where(step, 0.0, KEPT[:, None])
        count, doubt, seen = (kept * old + new[:, day] for old, new in ((count, y), (doubt, v), (seen, x)))
    best = np.where(scored.max(axis=0) >= 3, np.argmin(score, axis=0), USUAL)  # [S]
    pick = best, np.arange(strata)
    restless = jumps[pick] > 1 + days * MOST_STEPS
    degrees = PRIOR_DAYS + scored[pick] + np.where(restless, jumps[pick], 0.0)
    variance = (PRIOR_DAYS * PRIOR_SD**2 + excess[pick] + np.where(restless, jumped[pick], 0.0)) / degrees
    level = np.where(seen[pick] > 0, count[pick] / np.maximum(seen[pick], 1e-300), 0.0)
    one = 1 + doubt[pick] / np.maximum(count[pick], 1.0)
    return Shares(
        level=level,
        shape=shape,
        gain=np.where(restless, 1.0, 1 - KEPT[best]),
        spread=np.sqrt(np.maximum(variance, 1e-4) + one / (count[pick] + one)),
        degrees=degrees,
    )
