"""Forecasts, kept by the moment at which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from riskmon.records import Forecast, Stratum
from riskmon.store import strata
from riskmon.store.tables import forecasts
from riskmon.store.tables import strata as strata_table

_VALUES = tuple(field.name for field in fields(Forecast) if field.name != "stratum")


def write(connection: Connection, made: Sequence[Forecast]) -> None:
    """Stores forecasts in their order; those of the same moment are replaced, so writing again changes nothing."""
    if not made:
        return
    moments = {forecast.made_at for forecast in made}
    connection.execute(delete(forecasts).where(forecasts.c.made_at.in_(moments)))
    named = [forecast.stratum for forecast in made if forecast.stratum is not None]
    ids = strata.intern(connection, named, max(moments))
    connection.execute(
        insert(forecasts),
        [
            {
                "stratum_id": None if forecast.stratum is None else ids[forecast.stratum],
                **{name: getattr(forecast, name) for name in _VALUES},
            }
            for forecast in made
        ],
    )


def last_made_at(connection: Connection) -> datetime | None:
    """When the newest forecast was made."""
    made_at: datetime | None = connection.scalar(select(func.max(forecasts.c.made_at)))
    return made_at


def latest(connection: Connection) -> list[Forecast]:
    """All forecasts of the newest moment, in the order in which they were written."""
    newest = select(func.max(forecasts.c.made_at)).scalar_subquery()
    return _read(connection, forecasts.c.made_at == newest)


def hourly_totals(connection: Connection) -> list[Forecast]:
    """The totals over strata of the last moment in every hour that has one, the oldest first."""
    is_total = forecasts.c.stratum_id.is_(None)
    moments = connection.scalars(
        select(forecasts.c.made_at).where(is_total).distinct().order_by(forecasts.c.made_at)
    )
    # Not in SQL: PostgreSQL would take the hours of its own time zone.
    last = {made_at.replace(minute=0, second=0, microsecond=0): made_at for made_at in moments}
    return _read(connection, is_total & forecasts.c.made_at.in_(last.values()))


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[Forecast]:
    query = (
        select(forecasts, strata_table.c.key)
        .join_from(forecasts, strata_table, isouter=True)
        .where(wanted)
        .order_by(forecasts.c.made_at, forecasts.c.id)
    )
    return [
        Forecast(
            stratum=None if row.key is None else Stratum.from_key(row.key),
            **{name: getattr(row, name) for name in _VALUES},
        )
        for row in connection.execute(query)
    ]
