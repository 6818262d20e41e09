"""Strata that came or went, and those that are away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, delete, exists, func, insert, select, update

from riskmon.records import Stratum
from riskmon.records.strata import OTHER, StrataCensus, StratumChange, StratumEvent
from riskmon.store import counts
from riskmon.store.counts import Count
from riskmon.store.tables import cells, counters, strata, stratum_events

_OF_LATE = timedelta(days=7)
# What comes with the first day of counting is how things are, and no change.
_FIRST_DAY = timedelta(days=1)


def add(connection: Connection, events: Sequence[StratumEvent], ids: Mapping[Stratum, int]) -> None:
    """Stores and counts events of known strata."""
    connection.execute(
        insert(stratum_events),
        [
            {
                "at": event.at,
                "change": event.change.value,
                "stratum_id": ids[event.stratum],
                "since": event.since,
                "share": event.share,
            }
            for event in events
        ],
    )
    seen = Counter(event.change.value for event in events)
    counts.add(connection, {(Count.STRATUM_CHANGED, change): number for change, number in seen.items()})


def note_vanished(connection: Connection, gone: Sequence[StratumEvent]) -> list[StratumEvent]:
    """Stores which strata have vanished; gives those that had not before, and have had no request since either."""
    found, ids = [], {}
    for event in gone:
        returned = exists().where(cells.c.stratum_id == strata.c.id, cells.c.window_start >= event.since)
        row_id = connection.scalar(
            update(strata)
            .where(
                strata.c.key == event.stratum.key(),
                strata.c.silent_since.is_(None),
                strata.c.retired_at.is_(None),
                ~returned,
            )
            .values(silent_since=event.since)
            .returning(strata.c.id)
        )
        if row_id is not None:
            ids[event.stratum] = row_id
            found.append(event)
    if found:
        add(connection, found, ids)
    return found


def between(connection: Connection, since: datetime, until: datetime) -> list[StratumEvent]:
    """Events noticed in [since, until), the oldest first, without what appeared on the first day of counting."""
    began = connection.scalar(select(func.min(strata.c.first_seen)))
    if began is None:
        return []
    first = stratum_events.c.change == StratumChange.APPEARED.value
    query = (
        select(stratum_events, strata.c.key)
        .join_from(stratum_events, strata)
        .where(
            stratum_events.c.at >= since,
            stratum_events.c.at < until,
            ~(first & (stratum_events.c.at < began + _FIRST_DAY)),
        )
        .order_by(stratum_events.c.at, stratum_events.c.id)
    )
    return [_from_row(row) for row in connection.execute(query)]


def census(connection: Connection, now: datetime) -> StrataCensus:
    """How many strata have a place, which are away, and what happened of late."""
    query = select(strata.c.key).where(strata.c.retired_at.is_(None)).order_by(strata.c.id)
    placed = [Stratum.from_key(key) for key in connection.scalars(query)]
    # The newest has the labels in force; those of earlier ones are limited apart, and go in time.
    kept = [
        one for one in placed if one.as_dict().keys() == placed[-1].as_dict().keys() and not _all_other(one)
    ]
    last = select(func.max(stratum_events.c.id)).where(stratum_events.c.stratum_id == strata.c.id)
    away = (
        select(stratum_events, strata.c.key)
        .join_from(stratum_events, strata)
        .where(
            strata.c.silent_since.is_not(None),
            stratum_events.c.id == last.correlate(strata).scalar_subquery(),
        )
        .order_by(stratum_events.c.at.desc(), stratum_events.c.id)
    )
    happened = connection.execute(
        select(counters.c.label, counters.c.value).where(counters.c.name == str(Count.STRATUM_CHANGED))
    )
    return StrataCensus(
        changes={change: int(number) for change, number in happened},
        kept=len(kept),
        vanished=tuple(_from_row(row) for row in connection.execute(away)),
        events=tuple(reversed(between(connection, now - _OF_LATE, now + _FIRST_DAY))),
    )


def purge(connection: Connection, before: datetime) -> None:
    """Deletes events noticed before a moment, but the last one of a stratum that is still away."""
    away = select(strata.c.id).where(strata.c.silent_since.is_not(None))
    last = select(func.max(stratum_events.c.id)).where(stratum_events.c.stratum_id.in_(away))
    last = last.group_by(stratum_events.c.stratum_id)
    connection.execute(
        delete(stratum_events).where(stratum_events.c.at < before, stratum_events.c.id.not_in(last))
    )


def _all_other(stratum: Stratum) -> bool:
    return bool(stratum.labels) and all(value == OTHER for _, value in stratum.labels)


def _from_row(row: Row[tuple[object, ...]]) -> StratumEvent:
    return StratumEvent(
        row.at, StratumChange(row.change), Stratum.from_key(row.key), since=row.since, share=row.share
    )
