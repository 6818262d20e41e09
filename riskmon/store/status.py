"""The source's health as each reader last saw it, and all of it as one status.

Readers of one topic share its partitions, so what is unread is the sum over them. A reader counts while its word is
fresh: one that ended says so, and one that says nothing for a minute (or whose clock is that far off) is taken for
gone. The source is up while there is a reader and every one of them reaches it. The status names those that are gone;
an hour after their last word a reader that lives clears them away. Where none lives they stay, for silence is what
must be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from riskmon.records import TrafficStatus
from riskmon.store.tables import traffic_status
from riskmon.store.upsert import insert

# A reader writes every two seconds. While its source is away or the store is locked it writes within 45.
SILENT_AFTER = timedelta(minutes=1)
_NAMED_FOR = timedelta(hours=1)


def write(connection: Connection, reader: str, status: TrafficStatus) -> None:
    """Replaces the status of one reader, and forgets those that ended or have been gone for long."""
    values = {
        "up": status.up,
        "lag_messages": status.lag_messages,
        "at": status.at,
        "detail": status.detail,
        "ended": False,
    }
    connection.execute(
        insert(connection, traffic_status)
        .values(reader=reader, **values)
        .on_conflict_do_update(index_elements=[traffic_status.c.reader], set_=values)
    )
    past = or_(traffic_status.c.ended, traffic_status.c.at < status.at - _NAMED_FOR)
    connection.execute(delete(traffic_status).where(traffic_status.c.reader != reader, past))


def end(connection: Connection, reader: str) -> None:
    """Notes that a reader ended: it counts no longer. Nothing where it never wrote."""
    connection.execute(update(traffic_status).where(traffic_status.c.reader == reader).values(ended=True))


def read(connection: Connection, now: datetime) -> TrafficStatus | None:
    """The status of all readers together; None where none ever wrote."""
    rows = connection.execute(
        select(traffic_status).order_by(traffic_status.c.at.desc(), traffic_status.c.reader)
    ).all()
    if not rows:
        return None
    live = [row for row in rows if not row.ended and abs(now - row.at) <= SILENT_AFTER]
    if not live:
        last = rows[0]
        how = "ended in order" if last.ended else f"has said nothing since {last.at:%Y-%m-%d %H:%M:%S} UTC"
        told = f"Nothing reads the traffic: {last.reader} {how}. {last.detail}".rstrip()
        return replace(_status_of(last), up=False, lag_messages=None, detail=told, readers=0)
    return _together(live, [row.reader for row in rows if row not in live and not row.ended])


def read_one(connection: Connection, reader: str) -> TrafficStatus | None:
    """The status that one reader last wrote."""
    row = connection.execute(select(traffic_status).filter_by(reader=reader)).one_or_none()
    return None if row is None else _status_of(row)


def _together(live: Sequence[Row[Any]], gone: Sequence[str]) -> TrafficStatus:
    lags = [row.lag_messages for row in live]
    details = [row.detail if len(live) == 1 else f"{row.reader}: {row.detail}" for row in live if row.detail]
    if gone:
        details.append(f"No word from {', '.join(sorted(gone))} for over a minute.")
    return TrafficStatus(
        up=all(row.up for row in live),
        lag_messages=None if None in lags else sum(lags),
        at=live[0].at,
        detail=" ".join(details),
        readers=len(live),
    )


def _status_of(row: Row[Any]) -> TrafficStatus:
    return TrafficStatus(row.up, row.lag_messages, row.at, row.detail)
