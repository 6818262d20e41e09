"""The source's health as the intake last saw it: one row, the newest."""

from __future__ import annotations

from sqlalchemy import Connection, select

from riskmon.records import TrafficStatus
from riskmon.store.tables import traffic_status
from riskmon.store.upsert import insert


def write(connection: Connection, status: TrafficStatus) -> None:
    """Replaces the status."""
    values = {
        "up": status.up,
        "lag_messages": status.lag_messages,
        "at": status.at,
        "detail": status.detail,
    }
    connection.execute(
        insert(connection, traffic_status)
        .values(id=1, **values)
        .on_conflict_do_update(index_elements=[traffic_status.c.id], set_=values)
    )


def read(connection: Connection) -> TrafficStatus | None:
    """The last status; None where no intake ever ran."""
    row = connection.execute(select(traffic_status)).one_or_none()
    return None if row is None else TrafficStatus(row.up, row.lag_messages, row.at, row.detail)
