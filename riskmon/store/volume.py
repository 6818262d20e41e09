"""Requests per cell, and the sampling variance of each count: 0 where every message was read."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection, select

from riskmon.records import Stratum, VolumeWindow
from riskmon.store.tables import cells, strata


def read(connection: Connection, since: datetime) -> list[VolumeWindow]:
    """Counts of the windows that start at `since` or later, by time and then by first sight of the stratum."""
    query = (
        select(cells.c.window_start, strata.c.key, cells.c.requests, cells.c.variance)
        .join_from(cells, strata)
        .where(cells.c.window_start >= since)
        .order_by(cells.c.window_start, strata.c.id)
    )
    # Weeks of hours repeat a few keys, and reading one costs more than looking it up.
    stratum = lru_cache(maxsize=None)(Stratum.from_key)
    return [
        VolumeWindow(start, stratum(key), requests, variance)
        for start, key, requests, variance in connection.execute(query)
    ]
