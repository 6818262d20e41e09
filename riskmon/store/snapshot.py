"""Everything that publish shows, read at one moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection

from riskmon.records import Horizon, Snapshot
from riskmon.store import (
    backtests,
    changes,
    counts,
    coverage,
    cycles,
    forecasts,
    scorers,
    sensitivity,
    status,
    stratum_events,
)

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_TREND = timedelta(days=7)


def read(connection: Connection, now: datetime) -> Snapshot:
    """The snapshot; `now` is stamped on it, says which readers of the source are silent, and ends the week of
    which strata are told.
    """
    latest = forecasts.latest(connection)
    forecast_at = latest[0].made_at if latest else None
    by_day, by_version = changes.read(connection, forecast_at) if forecast_at else ({}, ())
    return Snapshot(
        taken_at=now,
        forecasts=tuple(made for made in latest if made.horizon is Horizon.DAY),
        outlook=tuple(made for made in latest if made.stratum is None),
        counters=counts.read(connection),
        last_cycle=cycles.last(connection, complete_only=False),
        last_success=cycles.last(connection, complete_only=True),
        forecast_at=forecast_at,
        traffic=status.read(connection, now),
        coverage=tuple(count for count in coverage.read(connection, _EVER) if count.stratum is None),
        history=tuple(forecasts.hourly_totals(connection, forecast_at - _TREND)) if forecast_at else (),
        scorer=scorers.state(connection),
        sensitivity=sensitivity.last(connection),
        changes=by_day,
        version_changes=by_version,
        backtests=tuple(backtests.read(connection, totals_only=True)),
        backtest_at=backtests.made_at(connection),
        strata=stratum_events.census(connection, now),
    )
