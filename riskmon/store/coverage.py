"""The coverage audit, pooled: draws of the target, and the harmful ones among them that no other proposal covers.

A single prompt's handful of such draws bounds next to nothing. Pooled over prompts, strata and days there are enough
of them to bound the harm that the proposals miss. Prompts drawn from with the target alone are left out: where nothing
covers, no hit counts as uncovered, and draws without hits would pass for evidence. So are those whose judge was away.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select

from riskmon.records import Stratum
from riskmon.records.coverage import CoverageCount
from riskmon.store.results import JUDGED
from riskmon.store.tables import cells, estimates, samples, strata


def read(connection: Connection, since: datetime) -> list[CoverageCount]:
    """Counts over all estimates of windows that start at `since` or later.

    Per harm, by name: one count per stratum in order of first sight, then that of all strata together.
    """
    query = (
        select(
            estimates.c.harm, strata.c.key, func.sum(estimates.c.target_draws), func.sum(estimates.c.gap_hits)
        )
        .join_from(estimates, samples)
        .join(cells)
        .join(strata)
        .where(cells.c.window_start >= since, estimates.c.target_draws < estimates.c.n, JUDGED)
        .group_by(estimates.c.harm, strata.c.id, strata.c.key)
        .order_by(estimates.c.harm, strata.c.id)
    )
    # PostgreSQL sums whole numbers into decimals.
    per_stratum = [
        CoverageCount(harm, Stratum.from_key(key), int(draws), int(hits))
        for harm, key, draws, hits in connection.execute(query)
    ]
    counts = []
    for harm in dict.fromkeys(count.harm for count in per_stratum):
        own = [count for count in per_stratum if count.harm == harm]
        total = CoverageCount(
            harm, None, sum(count.target_draws for count in own), sum(count.gap_hits for count in own)
        )
        counts += [*own, total]
    return counts
