"""What went wrong in a period, read off the store: cycles, and hours in which nothing was counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from riskmon.publish.figures import exact
from riskmon.records import CycleSummary, TrafficStatus, VolumeWindow
from riskmon.records.report import Incident, IncidentKind
from riskmon.records.strata import StratumEvent
from riskmon.reporting.strata import strata_incidents


def find_incidents(
    *,
    cycles: Sequence[CycleSummary],
    unfinished: Sequence[datetime],
    deadline: timedelta,
    windows: Sequence[VolumeWindow],
    window: timedelta,
    status: TrafficStatus | None,
    strata: Sequence[StratumEvent],
    since: datetime,
    now: datetime,
) -> tuple[Incident, ...]:
    """All incidents of [since, now), the oldest first.

    Args:
        cycles: finished in the period. unfinished: starts of cycles without an end.
        deadline: of a cycle; one that began less than that ago may still run.
        windows: counts, from before `since` where there are any. window: their length.
        status: of the source as last seen.
        strata: those that came or went in the period.
    """
    found = [
        Incident(
            IncidentKind.CYCLE_CUT_SHORT,
            cycle.started_at,
            cycle.finished_at,
            f"{exact(cycle.prompts)} prompts were estimated, {exact(cycle.left_out)} left out",
        )
        for cycle in cycles
        if not cycle.complete
    ]
    found += [
        Incident(IncidentKind.CYCLE_LOST, started, None, "it began and never ended: the process went away")
        for started in unfinished
        if started + deadline < now
    ]
    found += _gaps(windows, window, since, now)
    if status is not None and not status.up:
        told = "the traffic source does not answer" if status.readers else "nothing reads the traffic"
        found.append(Incident(IncidentKind.SOURCE_DOWN, status.at, None, told))
    found += strata_incidents(strata, windows, since)
    return tuple(sorted(found, key=lambda incident: (incident.start, incident.kind)))


def _gaps(
    windows: Sequence[VolumeWindow], window: timedelta, since: datetime, now: datetime
) -> Iterator[Incident]:
    """Stretches of whole windows without a request, after the first one that was ever counted."""
    counted = sorted({found.start for found in windows if found.requests > 0})
    if not counted:
        return
    inside = [start for start in counted if start < now]
    # Each stretch lies between the end of one counted window and the start of the next, or the window under way.
    ends = [*inside[1:], now - window]
    for before, after in zip(inside, ends, strict=True):
        start, end = max(before + window, since), after
        if end - start >= window:
            yield Incident(
                IncidentKind.NO_COUNTS,
                start,
                end,
                "no request was counted: no traffic, or riskmon was down and the topic no longer held it",
            )
