"""Forecasts, kept by the moment at which they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from riskmon.records import Forecast, Horizon, Stratum, VarianceShares
from riskmon.store import strata
from riskmon.store.tables import forecasts
from riskmon.store.tables import strata as strata_table

_VALUES = tuple(
    field.name for field in fields(Forecast) if field.name not in {"stratum", "horizon", "variance"}
)
_TOTAL = forecasts.c.stratum_id.is_(None)
_OF_DAY = forecasts.c.horizon == Horizon.DAY.value


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
                "horizon": forecast.horizon.value,
                "variance": None if forecast.variance is None else asdict(forecast.variance),
                **{name: getattr(forecast, name) for name in _VALUES},
            }
            for forecast in made
        ],
    )


def last_made_at(connection: Connection) -> datetime | None:
    """When the newest forecast was made.

    The newest is the one written last: after a clock was set back, older ones carry a later moment.
    """
    made_at: datetime | None = connection.scalar(
        select(forecasts.c.made_at).order_by(forecasts.c.id.desc()).limit(1)
    )
    return made_at


def latest(connection: Connection) -> list[Forecast]:
    """All forecasts of the newest moment, in the order in which they were written."""
    newest = last_made_at(connection)
    return [] if newest is None else _read(connection, forecasts.c.made_at == newest)


def hourly_totals(connection: Connection, since: datetime) -> list[Forecast]:
    """The totals over strata of 24 hours of the last moment in every hour that has one, the oldest first."""
    moments = connection.scalars(
        select(forecasts.c.made_at)
        .where(_TOTAL & (forecasts.c.made_at >= since))
        .distinct()
        .order_by(forecasts.c.made_at)
    )
    # Not in SQL: PostgreSQL would take the hours of its own time zone.
    last = {made_at.replace(minute=0, second=0, microsecond=0): made_at for made_at in moments}
    return _read(connection, _TOTAL & _OF_DAY & forecasts.c.made_at.in_(last.values()))


def first_of_days(connection: Connection, since: datetime) -> set[tuple[str, datetime]]:
    """Harm and moment of the first total of 24 hours made in every UTC day, since a moment.

    Those are what the back-test scores.
    """
    made = connection.execute(
        select(forecasts.c.harm, forecasts.c.made_at)
        .where(_TOTAL & _OF_DAY & (forecasts.c.made_at >= since))
        .order_by(forecasts.c.made_at)
    )
    first: dict[tuple[str, date], datetime] = {}
    for harm, made_at in made:
        first.setdefault((harm, made_at.date()), made_at)
    return {(harm, made_at) for (harm, _), made_at in first.items()}


def daily(connection: Connection, since: datetime, until: datetime) -> list[Forecast]:
    """Forecasts of 24 hours, totals and strata, of the first moment in every UTC day in [since, until)."""
    first = first_of_days(connection, since)
    moments = {made_at for _, made_at in first}
    found = _read(connection, _OF_DAY & forecasts.c.made_at.in_(moments) & (forecasts.c.made_at < until))
    return [forecast for forecast in found if (forecast.harm, forecast.made_at) in first]


def between(connection: Connection, since: datetime, until: datetime) -> list[Forecast]:
    """All forecasts made in [since, until), the oldest first."""
    return _read(connection, (forecasts.c.made_at >= since) & (forecasts.c.made_at < until))


def nearest(connection: Connection, moment: datetime, within: timedelta) -> list[Forecast]:
    """All forecasts of the moment nearest to this one, and no further away than `within`; empty without any."""
    made_at = forecasts.c.made_at
    moments = connection.scalars(
        select(made_at).where(made_at.between(moment - within, moment + within)).distinct().order_by(made_at)
    )
    found = min(moments, key=lambda at: abs(at - moment), default=None)
    return [] if found is None else _read(connection, made_at == found)


def _read(connection: Connection, wanted: ColumnElement[bool]) -> list[Forecast]:
    # Columns in the order of the values: a snapshot reads hundreds of rows, and by name that takes twice as long.
    query = (
        select(
            strata_table.c.key,
            forecasts.c.horizon,
            forecasts.c.variance,
            *(forecasts.c[name] for name in _VALUES),
        )
        .select_from(forecasts.outerjoin(strata_table))
        .where(wanted)
        .order_by(forecasts.c.made_at, forecasts.c.id)
    )
    return [
        Forecast(
            stratum=None if key is None else Stratum.from_key(key),
            horizon=Horizon(horizon),
            variance=None if variance is None else VarianceShares(**variance),
            **dict(zip(_VALUES, values, strict=True)),
        )
        for key, horizon, variance, *values in connection.execute(query)
    ]
