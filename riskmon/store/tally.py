"""What became of the sampled prompts of a period: estimated, failed, or still waiting."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, func, select

from riskmon.records.report import SampleTally
from riskmon.store.tables import cells, results, samples


def read(connection: Connection, since: datetime) -> SampleTally:
    """Counts over the prompts in the sample whose windows start at `since` or later."""
    at_position = and_(
        results.c.topic == samples.c.topic,
        results.c.partition == samples.c.partition,
        results.c.offset == samples.c.offset,
    )
    done = results.c.written_at.is_not(None)
    query = (
        select(done, results.c.failure, func.count())
        .select_from(samples.join(cells).outerjoin(results, at_position))
        .where(cells.c.window_start >= since)
        .group_by(done, results.c.failure)
        .order_by(results.c.failure)
    )
    rows = connection.execute(query).all()
    return SampleTally(
        since=since,
        sampled=sum(count for _, _, count in rows),
        estimated=sum(count for worked_on, failure, count in rows if worked_on and failure is None),
        failed={failure: count for _, failure, count in rows if failure is not None},
        waiting=sum(count for worked_on, _, count in rows if not worked_on),
    )
