"""Estimate cycles: begun, finished, the two that publish shows, and those of a period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from riskmon.errors import StoreUnavailable
from riskmon.records import CycleSummary, Flag, HarmHealth
from riskmon.store.tables import cycle_health, cycles

_SUMMARY = tuple(field.name for field in fields(CycleSummary) if field.name not in {"health", "failures"})
_HEALTH = tuple(field.name for field in fields(HarmHealth) if field.name != "flagged")


def begin(connection: Connection, now: datetime) -> int:
    """Adds a cycle and gives its number."""
    added = connection.execute(insert(cycles).values(started_at=now).returning(cycles.c.id))
    cycle_id: int = added.scalar_one()
    return cycle_id


def finish(connection: Connection, cycle_id: int, summary: CycleSummary) -> None:
    """Stores the summary; finishing a cycle again replaces it.

    Raises:
        StoreUnavailable: there is no such cycle.
    """
    values = {name: getattr(summary, name) for name in _SUMMARY}
    changed = connection.execute(
        update(cycles).where(cycles.c.id == cycle_id).values(**values, failures=dict(summary.failures))
    )
    if changed.rowcount == 0:
        raise StoreUnavailable(f"the store has no cycle {cycle_id} to finish; begin one first")
    connection.execute(cycle_health.delete().where(cycle_health.c.cycle_id == cycle_id))
    rows = [
        {
            "cycle_id": cycle_id,
            "place": place,
            "flagged": None if health.flagged is None else dict(health.flagged),
            **{name: getattr(health, name) for name in _HEALTH},
        }
        for place, health in enumerate(summary.health)
    ]
    if rows:
        connection.execute(insert(cycle_health), rows)


def last_id(connection: Connection, *, complete_only: bool) -> int | None:
    """Number of the cycle that finished last, or of the last complete one.

    Cycles of a store come one after another, so the last one has the largest number, whatever the clock said.
    """
    query = select(cycles.c.id).where(cycles.c.finished_at.is_not(None))
    if complete_only:
        query = query.where(cycles.c.complete)
    found: int | None = connection.scalar(query.order_by(cycles.c.id.desc()).limit(1))
    return found


def last(connection: Connection, *, complete_only: bool) -> CycleSummary | None:
    """Summary of the cycle that finished last, or of the last complete one."""
    cycle_id = last_id(connection, complete_only=complete_only)
    return None if cycle_id is None else _summary(connection, cycle_id)


def finished(connection: Connection, since: datetime) -> list[CycleSummary]:
    """Cycles that finished at `since` or later, the oldest first."""
    ids = connection.scalars(
        select(cycles.c.id).where(cycles.c.finished_at >= since).order_by(cycles.c.finished_at, cycles.c.id)
    )
    return [_summary(connection, cycle_id) for cycle_id in ids.all()]


def unfinished(connection: Connection, since: datetime) -> list[datetime]:
    """Starts of the cycles that began at `since` or later and never finished, the oldest first."""
    query = select(cycles.c.started_at).where(cycles.c.started_at >= since, cycles.c.finished_at.is_(None))
    return list(connection.scalars(query.order_by(cycles.c.started_at)))


def _summary(connection: Connection, cycle_id: int) -> CycleSummary:
    row = connection.execute(select(cycles).where(cycles.c.id == cycle_id)).one()
    health = connection.execute(
        select(cycle_health).where(cycle_health.c.cycle_id == cycle_id).order_by(cycle_health.c.place)
    )
    return CycleSummary(
        **{name: getattr(row, name) for name in _SUMMARY},
        failures=row.failures,
        health=tuple(
            HarmHealth(**{name: getattr(entry, name) for name in _HEALTH}, flagged=_flagged(entry.flagged))
            for entry in health
        ),
    )


def _flagged(counts: Mapping[str, int] | None) -> dict[Flag, int] | None:
    return None if counts is None else {Flag(name): count for name, count in counts.items()}
