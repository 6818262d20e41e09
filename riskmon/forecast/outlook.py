"""Requests of the next 24 hours per stratum, and of today and of the next seven days over all strata.

Strata are forecast a day ahead. What is asked of other horizons is the total, and its volume is predicted as that of
one stratum that holds all requests: the week of every stratum would cost seven times as much and say little more. The
mean probability of harm is that of the next 24 hours, so that a mix of weekends unlike that of weekdays is not in it.

**Today** is the local day: requests counted since midnight, exactly, and those predicted until the next. Where
counting began later in the day, it is the part of the day from then on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.volume import DAY_HOURS, WEEK_HOURS, VolumePrediction, predict_requests
from riskmon.records import FloatArray, Horizon, Stratum, VolumeWindow

_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Requests of a horizon over all strata.

    Attributes:
        mean: expected. draws: [B] draws. basis: what they rest on.
    """

    mean: float
    draws: FloatArray
    basis: str


def predict_volume(
    windows: Sequence[VolumeWindow],
    *,
    window: timedelta,
    now: datetime,
    draws: int,
    rng: np.random.Generator,
    config: VolumeConfig,
) -> tuple[dict[Stratum, VolumePrediction], dict[Horizon, Span]]:
    """Requests of 24 hours or more per stratum, and of today and of the next seven days over all of them.

    Arguments are those of `predict_requests`; both are empty without traffic.
    """

    def predict(counted: Sequence[VolumeWindow], hours: int) -> dict[Stratum, VolumePrediction]:
        return predict_requests(
            counted, window=window, now=now, hours=hours, draws=draws, rng=rng, config=config
        )

    everything = Counter[datetime]()
    for counted in windows:
        everything[counted.start] += counted.requests
    # Their sampling variances are left behind: what one stratum has too much another has too little, the sum is exact.
    merged = [VolumeWindow(start, Stratum(), requests) for start, requests in everything.items()]
    if len({counted.stratum for counted in windows}) > 1:
        strata, total = predict(windows, DAY_HOURS), predict(merged, WEEK_HOURS)
    else:
        # One stratum is the total.
        strata = total = predict(windows, WEEK_HOURS)
    if not total:
        return strata, {}
    (prediction,) = total.values()
    begin, end = local_day(now, config)
    so_far = sum(
        one.requests * _share_since(begin, one.start, min(one.start + window, now)) for one in merged
    )
    mean, rest = prediction.until((end - now) / _HOUR)
    week_mean, week = prediction.until(WEEK_HOURS)
    today = f"{so_far:.0f} counted since midnight; {prediction.basis}"
    return strata, {
        Horizon.TODAY: Span(so_far + mean, so_far + rest, today),
        Horizon.WEEK: Span(week_mean, week, prediction.basis),
    }


def local_day(now: datetime, config: VolumeConfig) -> tuple[datetime, datetime]:
    """Start and end of the local day that holds a moment; 23 to 25 hours apart."""
    zone = ZoneInfo(config.timezone)
    day = now.astimezone(zone).date()
    begin, end = (datetime.combine(at, time.min, zone) for at in (day, day + timedelta(days=1)))
    # Differences of times in one zone ignore its clock changes; those of UTC do not.
    return begin.astimezone(now.tzinfo), end.astimezone(now.tzinfo)


def _share_since(begin: datetime, start: datetime, end: datetime) -> float:
    """Share of [start, end) that lies after `begin`; 0 where the span is empty."""
    if end <= start:
        return 0.0
    return max(0.0, min(1.0, (end - begin) / (end - start)))
