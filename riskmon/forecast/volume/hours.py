"""From counting windows to hours: one grid for all strata, with the hours nobody counted marked.

**Grid.** Hours of UTC, counted so that a window of whole hours is never cut. A window that overlaps several hours, or
the start of the history, is shared out by time. The window in progress has lasted until now.

**Gaps.** While the collector is down nobody counts, and the store holds no window, exactly as when nobody asks. A
stratum without a window while another has one had no traffic. A run of L hours without a window of *any* stratum is
a gap, hours that nobody counted, when all of this holds:

1. around it there is traffic: of the hours before and of those after (on each side as many as L, at least 6, at most
   a week), three quarters have windows;
2. zero is not chance: at the rate of those hours the run would have had at least 20 requests;
3. zero is no habit: among the same hours one to four weeks away less than half have no window either, or, where
   there is no other week, among the same hours one to seven days away.

A run that reaches up to now has no hours after it. It is a gap for a day at most; after that the traffic has ended.
Any other empty hour had no traffic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from riskmon.forecast.volume.calendar import HOUR
from riskmon.records import FloatArray, Stratum, VolumeWindow

DAY_HOURS, WEEK_HOURS = 24, 168
NEIGHBOURS, BUSY, CERTAIN, HABIT = 6, 0.75, 20.0, 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TINY = 1e-7
"""A third of a millisecond in hours: less is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class HourlyCounts:
    """Requests per stratum and hour, n hours up to and with the one in progress.

    Attributes:
        strata: S of them, in order.
        start: of the first hour, UTC.
        counts: [S, n] requests.
        variances: [S, n] sampling variance of the counts; 0 where every message was read.
        covered: [n] share of the hour in which requests were counted; 0 in a gap.
        elapsed: share of the last hour that has passed, in (0, 1].
        silent: hours at the end that are a gap.
    """

    strata: tuple[Stratum, ...]
    start: datetime
    counts: FloatArray
    variances: FloatArray
    covered: FloatArray
    elapsed: float
    silent: int

    def __len__(self) -> int:
        return len(self.covered)

    @property
    def known_hours(self) -> float:
        """Length of the history without its gaps, in hours."""
        return float(self.covered.sum())


def count_hours(
    windows: Sequence[VolumeWindow], *, window: timedelta, now: datetime, history: timedelta
) -> HourlyCounts | None:
    """Put counts on the grid; None without any request before `now`.

    Args:
        windows: in any order, on one grid of `window`; later ones are left out.
        window: length of a window.
        now: aware time.
        history: older counts are left out; of a window that straddles its start the share inside counts.
    """
    past = [w for w in windows if w.start < now and w.start + window > now - history]
    seen = {w.stratum for w in past if w.requests > 0}
    if not seen:
        return None
    strata = tuple(sorted(seen))
    row = {stratum: k for k, stratum in enumerate(strata)}
    length, at = window / HOUR, (now - _EPOCH) / HOUR  # in hours, as all that follows
    whole = np.array([(w.start - _EPOCH) / HOUR for w in past])
    ends = np.minimum(whole + length, at)
    starts = np.maximum(whole, at - history / HOUR)

    begin = float(starts.min())
    offset = float(whole.min() % 1.0) if length >= 1 else 0.0
    first = math.floor(begin - offset + _TINY) + offset
    n = math.ceil(at - first - _TINY)
    counts, variances = np.zeros((2, len(strata), n))
    rows = np.array([row.get(w.stratum, -1) for w in past])
    rates = np.array([[w.requests, w.variance] for w in past]).T / (ends - whole)
    for piece, hour, part in _pieces(starts - first, ends - first):
        for sums, rate in zip((counts, variances), rates, strict=True):
            np.add.at(sums, (rows[piece], hour), np.where(rows[piece] >= 0, rate[piece] * part, 0.0))

    _, once = np.unique(starts, return_index=True)
    present = np.zeros(n)
    for _, hour, part in _pieces(starts[once] - first, ends[once] - first):
        np.add.at(present, hour, part)
    hours = np.arange(n)
    lasted = np.minimum(hours + 1, at - first) - np.maximum(hours, begin - first)  # [n]
    empty = present < _TINY
    gap = _gaps(counts.sum(axis=0), empty)
    # Windows of whole hours show what part of an hour was counted; shorter ones may be missing for want of requests.
    covered = np.where(
        empty, np.where(gap, 0.0, lasted), np.minimum(present, lasted) if length >= 1 else lasted
    )
    silent = n - 1 - int(np.flatnonzero(~gap)[-1])
    return HourlyCounts(strata, _EPOCH + first * HOUR, counts, variances, covered, float(lasted[-1]), silent)


def worth(counts: FloatArray, variances: FloatArray) -> FloatArray:
    """[...] how many requests counted one by one tell as much as counts [..., n] with their sampling variances."""
    total, variance = counts.sum(axis=-1), variances.sum(axis=-1)
    equal: FloatArray = total**2 / np.maximum(total + variance, 1e-300)
    return equal


def _pieces(
    starts: FloatArray, ends: FloatArray
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]]:
    """Cuts spans at whole hours: index of the span, hour, length of the piece ([P] each), over and over."""
    span, hour = np.arange(len(starts)), np.floor(starts + _TINY).astype(np.int64)
    while len(span):
        part = np.minimum(ends[span], hour + 1) - np.maximum(starts[span], hour)
        yield span, hour, part
        more = ends[span] > hour + 1 + _TINY
        span, hour = span[more], hour[more] + 1


def _gaps(total: FloatArray, empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[n] hours that nobody counted, of [n] requests and of hours without a window."""
    gap = np.zeros(len(total), dtype=bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], empty, [False]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        gap[start:stop] = _is_gap(total, empty, int(start), int(stop))
    return gap


def _is_gap(total: FloatArray, empty: NDArray[np.bool_], start: int, stop: int) -> bool:
    length, n = stop - start, len(total)
    if stop == n and length > DAY_HOURS:
        return False
    reach = min(max(length, NEIGHBOURS), WEEK_HOURS)
    sides = [slice(max(0, start - reach), start)] + ([slice(stop, stop + reach)] if stop < n else [])
    if any(empty[side].mean() > 1 - BUSY for side in sides):
        return False
    rate = np.concatenate([total[side][~empty[side]] for side in sides]).mean()
    return bool(rate * length >= CERTAIN) and not _is_habit(empty, start, stop)


def _is_habit(empty: NDArray[np.bool_], start: int, stop: int) -> bool:
    """Whether the run's hours are empty in other weeks or, where there is none, on other days."""
    run = np.arange(start, stop)
    for lags in (WEEK_HOURS * np.arange(1, 5), DAY_HOURS * np.arange(1, 8)):
        other = (run[:, None] + np.concatenate([-lags, lags])).ravel()
        other = other[(other >= 0) & (other < len(empty)) & ((other < start) | (other >= stop))]
        if len(other):
            return bool(empty[other].mean() >= HABIT)
    return False
