"""Estimates with the traffic they stand for.

Of a cell with N requests a uniform sample was kept, and n of its prompts have an estimate of the harm; each stands
for N / n requests, so a sum of weight * p over a cell estimates the harmful outputs of all its requests. A prompt
that failed is taken as missing at random, and so is one whose judge was away: an estimate counts if more than half of
its answers were read. While the cell's window is open, its newest requests are represented
by the earlier ones until their own prompts are estimated.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from riskmon.records import Estimate, Flag, Stratum, WeightedEstimate
from riskmon.store.results import ESTIMATE_VALUES, JUDGED
from riskmon.store.tables import cells, estimates, samples, strata


def read(connection: Connection, since: datetime) -> list[WeightedEstimate]:
    """Judged estimates of windows that start at `since` or later, by cell, then by priority, then by harm."""
    query = (
        select(
            estimates,
            samples.c.prompt_id,
            cells.c.window_start,
            cells.c.requests,
            strata.c.key,
            func.count().over(partition_by=(samples.c.cell_id, estimates.c.harm)).label("estimated"),
        )
        .join_from(estimates, samples)
        .join(cells)
        .join(strata)
        .where(cells.c.window_start >= since, JUDGED)
        .order_by(cells.c.window_start, strata.c.id, samples.c.priority, samples.c.id, estimates.c.harm)
    )
    found = []
    for row in connection.execute(query):
        stratum = Stratum.from_key(row.key)
        estimate = Estimate(
            prompt_id=row.prompt_id,
            stratum=stratum,
            flags=tuple(Flag(flag) for flag in row.flags),
            **{name: getattr(row, name) for name in ESTIMATE_VALUES},
        )
        found.append(
            WeightedEstimate(
                estimate=estimate,
                weight=row.requests / row.estimated,
                cell=(row.window_start, stratum),
                population=row.requests,
            )
        )
    return found
