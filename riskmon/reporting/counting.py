"""How far the counts of strata may be off, where requests were counted from ranges of a topic."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from riskmon.records import Stratum, VolumeWindow


@dataclass(frozen=True, slots=True)
class CountError:
    """Standard errors of the counts of strata over a period, each relative to its count.

    Attributes:
        strata: how many of them are estimates.
        median, largest: of their errors. stratum: the one with the largest.
    """

    strata: int
    median: float
    largest: float
    stratum: Stratum


def count_error(windows: Iterable[VolumeWindow], since: datetime, until: datetime) -> CountError | None:
    """Errors over the windows that start in [since, until); None where every message was counted."""
    requests: defaultdict[Stratum, int] = defaultdict(int)
    variances: defaultdict[Stratum, float] = defaultdict(float)
    for window in windows:
        if since <= window.start < until:
            requests[window.stratum] += window.requests
            variances[window.stratum] += window.variance
    errors = {
        stratum: math.sqrt(variance) / requests[stratum]
        for stratum, variance in variances.items()
        if variance > 0 and requests[stratum] > 0
    }
    if not errors:
        return None
    worst = max(errors, key=lambda stratum: errors[stratum])
    return CountError(len(errors), median(errors.values()), errors[worst], worst)
