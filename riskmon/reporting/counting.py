"""How far the counts of strata may be off, where requests were counted from ranges of a topic."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from riskmon.config import SeekConfig
from riskmon.records import Stratum, VolumeWindow
from riskmon.traffic.seek.totals import limits_of


@dataclass(frozen=True, slots=True)
class CountError:
    """Standard errors of the counts of strata over a period, each relative to its count.

    Attributes:
        strata: how many of them are estimates.
        median: of their errors.
        stratum, largest: the stratum with the largest error, and that error.
        low, high: 95% limits of its requests.
    """

    strata: int
    median: float
    stratum: Stratum
    largest: float
    low: int
    high: int


def count_error(
    windows: Iterable[VolumeWindow], since: datetime, until: datetime, window: timedelta, seek: SeekConfig
) -> CountError | None:
    """Errors over the windows that start in [since, until); None where every message was counted."""
    requests: defaultdict[Stratum, int] = defaultdict(int)
    variances: defaultdict[Stratum, float] = defaultdict(float)
    starts = set()
    for counted in windows:
        if since <= counted.start < until:
            requests[counted.stratum] += counted.requests
            variances[counted.stratum] += counted.variance
            if counted.variance > 0:
                starts.add(counted.start)
    errors = {
        stratum: math.sqrt(variance) / requests[stratum]
        for stratum, variance in variances.items()
        if variance > 0 and requests[stratum] > 0
    }
    if not errors:
        return None
    worst = max(errors, key=lambda stratum: errors[stratum])
    of = sum(requests.values())
    ranges = max(seek.ranges, round(len(starts) * (window / seek.every) * seek.ranges))
    limits = limits_of(requests[worst], variances[worst], of, ranges)
    return CountError(
        strata=len(errors),
        median=median(errors.values()),
        stratum=worst,
        largest=errors[worst],
        low=round(limits.low * of),
        high=round(limits.high * of),
    )
