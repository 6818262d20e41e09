"""Why forecasts changed, kept by the moment of the forecasts.

A row is one harm, against a day before or one version of the model against another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from riskmon.records.change import Change, Effect, VersionChange
from riskmon.store.tables import changes


def write(
    connection: Connection,
    made_at: datetime,
    by_day: Mapping[str, Change],
    by_version: Sequence[VersionChange],
) -> None:
    """Stores changes in their order; those of the same moment are replaced."""
    connection.execute(delete(changes).where(changes.c.made_at == made_at))
    rows: list[dict[str, Any]] = [
        {"harm": harm, "versions": None, "effects": asdict(change)} for harm, change in by_day.items()
    ]
    rows += [
        {"harm": one.harm, "versions": [one.label, one.before, one.after], "effects": asdict(one.change)}
        for one in by_version
    ]
    if rows:
        connection.execute(
            insert(changes), [{"made_at": made_at, "place": place, **row} for place, row in enumerate(rows)]
        )


def read(connection: Connection, made_at: datetime) -> tuple[dict[str, Change], tuple[VersionChange, ...]]:
    """Changes of the forecasts of a moment, in the order in which they were written."""
    rows = connection.execute(
        select(changes).where(changes.c.made_at == made_at).order_by(changes.c.place)
    ).all()
    by_day = {row.harm: _change(row.effects) for row in rows if row.versions is None}
    by_version = []
    for row in rows:
        if row.versions is not None:
            label, before, after = row.versions
            by_version.append(VersionChange(row.harm, label, before, after, _change(row.effects)))
    return by_day, tuple(by_version)


def _change(effects: Mapping[str, Mapping[str, Any]]) -> Change:
    return Change(**{part: Effect(**values) for part, values in effects.items()})
