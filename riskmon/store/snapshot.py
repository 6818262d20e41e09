"""Everything that publish shows, read at one moment."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection

from riskmon.records import Snapshot
from riskmon.store import counts, coverage, cycles, forecasts, status

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


def read(connection: Connection, now: datetime) -> Snapshot:
    """The snapshot; `now` is stamped on it and selects nothing."""
    latest = forecasts.latest(connection)
    return Snapshot(
        taken_at=now,
        forecasts=tuple(latest),
        counters=counts.read(connection),
        last_cycle=cycles.last(connection, complete_only=False),
        last_success=cycles.last(connection, complete_only=True),
        forecast_at=latest[0].made_at if latest else None,
        traffic=status.read(connection),
        coverage=tuple(count for count in coverage.read(connection, _EVER) if count.stratum is None),
        history=tuple(forecasts.hourly_totals(connection)),
    )
