"""Forecasts, kept by the moment at which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select

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
    query = (
        select(forecasts, strata_table.c.key)
        .join_from(forecasts, strata_table, isouter=True)
        .where(forecasts.c.made_at == select(func.max(forecasts.c.made_at)).scalar_subquery())
        .order_by(forecasts.c.id)
    )
    return [
        Forecast(
            stratum=None if row.key is None else Stratum.from_key(row.key),
            **{name: getattr(row, name) for name in _VALUES},
        )
        for row in connection.execute(query)
    ]
