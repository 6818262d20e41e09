"""The coverage audit, pooled: draws of the target, and the harmful ones among them that no other proposal covers.

A single prompt's handful of such draws bounds next to nothing. Pooled over prompts, strata and days there are enough
of them to bound the harm that the proposals miss. Prompts drawn from with the target alone are left out: where nothing
covers, no hit counts as uncovered, and draws without hits would pass for evidence. So are those whose judge was away.

Judged production responses are counted apart: whether they are draws of the target, only the configuration can say.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from riskmon.records import Stratum
from riskmon.records.coverage import CoverageCount
from riskmon.store.results import JUDGED
from riskmon.store.tables import cells, estimates, samples, strata, verdicts

_Counted = tuple[int, int]


def read(connection: Connection, since: datetime) -> list[CoverageCount]:
    """Counts over all estimates and verdicts of windows that start at `since` or later.

    Per harm, by name: one count per stratum in order of first sight, then that of all strata together.
    """
    draws = _counted(
        connection,
        select(
            estimates.c.harm,
            strata.c.id,
            strata.c.key,
            func.sum(estimates.c.target_draws),
            func.sum(estimates.c.gap_hits),
        )
        .join_from(estimates, samples)
        .where(estimates.c.target_draws < estimates.c.n, JUDGED)
        .group_by(estimates.c.harm, strata.c.id, strata.c.key),
        since,
    )
    responses = _counted(
        connection,
        select(
            verdicts.c.harm,
            strata.c.id,
            strata.c.key,
            func.count(),
            func.sum(case((verdicts.c.uncovered, 1), else_=0)),
        )
        .join_from(verdicts, samples)
        .where(verdicts.c.uncovered.is_not(None))
        .group_by(verdicts.c.harm, strata.c.id, strata.c.key),
        since,
    )
    per_harm: dict[str, list[CoverageCount]] = defaultdict(list)
    for harm, row_id, key in sorted({*draws, *responses}):
        cell = (harm, row_id, key)
        per_harm[harm].append(
            CoverageCount(harm, Stratum.from_key(key), *draws.get(cell, (0, 0)), *responses.get(cell, (0, 0)))
        )
    return [count for harm, own in per_harm.items() for count in (*own, _total(harm, own))]


def _counted(
    connection: Connection, query: Select[Any], since: datetime
) -> dict[tuple[str, int, str], _Counted]:
    recent = (
        query.join(cells, cells.c.id == samples.c.cell_id).join(strata).where(cells.c.window_start >= since)
    )
    # PostgreSQL sums whole numbers into decimals.
    return {
        (harm, row_id, key): (int(number), int(hits))
        for harm, row_id, key, number, hits in connection.execute(recent)
    }


def _total(harm: str, own: list[CoverageCount]) -> CoverageCount:
    return CoverageCount(
        harm,
        None,
        sum(count.target_draws for count in own),
        sum(count.gap_hits for count in own),
        sum(count.responses for count in own),
        sum(count.response_gap_hits for count in own),
    )
