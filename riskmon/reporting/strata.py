"""Strata that came or went in a period, as incidents: a change of the mix that a forecast cannot know beforehand.

One that vanished lasts until it was back. One that appeared is told with the share of the traffic that it has had since
the period began; since a sender may make up many, only the largest few are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

from riskmon.publish.figures import exact, percent
from riskmon.records import Stratum, VolumeWindow
from riskmon.records.report import Incident, IncidentKind
from riskmon.records.strata import StratumChange, StratumEvent

_NAMED = 20


def strata_incidents(
    events: Sequence[StratumEvent], windows: Sequence[VolumeWindow], since: datetime
) -> list[Incident]:
    """The events of a period as incidents, in any order.

    Args:
        events: the oldest first. windows: counts of the period, earlier ones among them or not.
    """
    requests: Counter[Stratum] = Counter()
    for window in windows:
        if window.start >= since:
            requests[window.stratum] += window.requests
    return [*_came(events, requests), *_limited(events), *_went(events)]


def _came(events: Sequence[StratumEvent], requests: Counter[Stratum]) -> Iterator[Incident]:
    new = [event for event in events if event.change is StratumChange.APPEARED]
    new.sort(key=lambda event: -requests[event.stratum])
    whole = max(1, requests.total())
    for event in new[:_NAMED]:
        share = percent(requests[event.stratum] / whole)
        detail = f"{event.stratum}: {share} of the requests of the period"
        yield Incident(IncidentKind.STRATUM_APPEARED, event.at, event.at, detail)
    rest = new[_NAMED:]
    if rest:
        share = percent(sum(requests[event.stratum] for event in rest) / whole)
        yield Incident(
            IncidentKind.STRATUM_APPEARED,
            min(event.at for event in rest),
            max(event.at for event in rest),
            f"{exact(len(rest))} more, with {share} of the requests of the period together",
        )


def _limited(events: Sequence[StratumEvent]) -> Iterator[Incident]:
    for event in events:
        if event.change is StratumChange.CAPPED:
            yield Incident(
                IncidentKind.STRATA_LIMITED,
                event.at,
                None,
                f"traffic beyond traffic.max_strata or traffic.max_label_values is counted in {event.stratum}",
            )


def _went(events: Sequence[StratumEvent]) -> Iterator[Incident]:
    for place, event in enumerate(events):
        if event.change is not StratumChange.VANISHED:
            continue
        back = (
            later.at
            for later in events[place:]
            if later.stratum == event.stratum and later.change is StratumChange.REAPPEARED
        )
        had = "" if event.share is None else f": it had {percent(event.share)} of the requests"
        yield Incident(
            IncidentKind.STRATUM_VANISHED, event.since or event.at, next(back, None), f"{event.stratum}{had}"
        )
