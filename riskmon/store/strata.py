"""Strata and their row numbers, given in the order of first sight and kept forever."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, select

from riskmon.records import Stratum
from riskmon.store.tables import strata
from riskmon.store.upsert import insert


def known(connection: Connection) -> dict[Stratum, int]:
    """Row number per stratum, in order of first sight."""
    rows = connection.execute(select(strata.c.key, strata.c.id).order_by(strata.c.id))
    return {Stratum.from_key(key): row_id for key, row_id in rows}


def intern(connection: Connection, wanted: Iterable[Stratum], now: datetime) -> dict[Stratum, int]:
    """Row number per known stratum, after adding those of `wanted` that are new."""
    ids = known(connection)
    new = [stratum for stratum in dict.fromkeys(wanted) if stratum not in ids]
    if not new:
        return ids
    connection.execute(
        insert(connection, strata), [{"key": stratum.key(), "first_seen": now} for stratum in new]
    )
    return known(connection)
