"""Strata that have vanished: no request for so long that chance, nights and weekends do not explain it.

In come counts per window and stratum, out go strata that are silent, with the share of the traffic that they had.

**Silence** is counted in windows in which other strata had requests, after a stratum's last one. So a time in which
riskmon, or all traffic, was down is nobody's silence; and the window under way does not count yet.

**Expected.** A stratum is reported when it was silent for `after` and at least `LEAST` requests would have been
counted in that time, by both

    its rate over the week before its last request, times the silent windows
    what it had in the same windows a week earlier, as far as it was there then

so that a stratum that is quiet on weekends or rare throughout does not flap: with ten expected, none by chance has a
probability of 5e-5. One that was not there for all of these windows must have been silent for three days, longer than
a weekend. A count that is an estimate itself (variance V, from sampled messages) is worth N^2 / V messages, and those
are what must be expected.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from riskmon.records import Stratum, VolumeWindow
from riskmon.records.strata import StratumChange, StratumEvent

LEAST = 10.0
"""Requests to be expected in the silent time."""

_WEEK = timedelta(days=7)
_WEEKEND = timedelta(days=3)

VANISHED_LOOKBACK = 3 * _WEEK
"""Counts that tell: a week of rate, a week of silence, and a week to notice it in."""


def find_vanished(
    windows: Iterable[VolumeWindow], *, window: timedelta, after: timedelta, now: datetime
) -> list[StratumEvent]:
    """Strata that have vanished, in the order of the strata.

    Args:
        windows: counts of `VANISHED_LOOKBACK`, in any order.
        window: length of a window. after: silence from which on a stratum has vanished.
        now: stamped on the events.
    """
    all_requests: dict[datetime, int] = defaultdict(int)
    of_stratum: dict[Stratum, dict[datetime, VolumeWindow]] = defaultdict(dict)
    for item in windows:
        if item.requests > 0:
            all_requests[item.start] += item.requests
            of_stratum[item.stratum][item.start] = item
    counted = sorted(start for start in all_requests if start + window <= now)
    events = []
    for stratum, own in sorted(of_stratum.items()):
        first, last = min(own), max(own)
        silent = [start for start in counted if start > last]
        if len(silent) * window < after:
            continue
        week = [start for start in counted if max(first, last - _WEEK + window) <= start <= last]
        earlier = [start - _WEEK for start in silent if first <= start - _WEEK <= last]
        if len(earlier) < len(silent) and len(silent) * window < _WEEKEND:
            continue
        expected = [_messages(own, week) * len(silent) / len(week)] if week else []
        expected += [_messages(own, earlier)] if earlier else []
        if expected and min(expected) >= LEAST:
            share = sum(own[s].requests for s in week if s in own) / sum(all_requests[s] for s in week)
            events.append(StratumEvent(now, StratumChange.VANISHED, stratum, last + window, share))
    return events


def _messages(own: Mapping[datetime, VolumeWindow], places: Iterable[datetime]) -> float:
    """Messages that were read behind the counts of some windows."""
    return sum(_read(own[start]) for start in places if start in own)


def _read(counted: VolumeWindow) -> float:
    exact = float(counted.requests)
    return min(exact, exact**2 / counted.variance) if counted.variance > 0 else exact
