"""Counts and the bottom-k sample of every cell, written together with the offsets that they cover.

A cell (one stratum in one counting window) keeps the k candidates of smallest priority, ties broken by position.
Keeping the k smallest is a merge: any split or order of the stream into batches leaves the same sample, a uniform
one without replacement (Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches").

That holds only while k never grows within a cell, since what a smaller k displaced is gone. So each cell remembers
the smallest k it was written with, and a raised setting takes effect from the next window on.

A displaced prompt is deleted with its text and its estimates: it is no longer part of any sample.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, case, delete, func, select

from riskmon.records import IntakeBatch, Position, SampledPrompt, Stratum
from riskmon.records.strata import StrataLimits, StrataNews
from riskmon.store import counts, offsets, prompts, strata
from riskmon.store.counts import Count
from riskmon.store.tables import cells, samples
from riskmon.store.tables import strata as strata_table
from riskmon.store.upsert import insert

_Cell = tuple[datetime, Stratum]
_BY_PRIORITY = (samples.c.priority, samples.c.topic, samples.c.partition, samples.c.offset)


def write(
    connection: Connection,
    batch: IntakeBatch,
    *,
    keep: int,
    now: datetime,
    limits: StrataLimits | None = None,
    backfill: bool = False,
) -> StrataNews:
    """Adds a batch: offsets, strata, requests, sample, counters; nothing where exactly this batch was written already.

    Gives the strata that are kept apart from here on.

    Raises:
        BatchRefused: messages of the batch may have been counted already.
        ValueError: a sampled prompt lies in a cell that the batch does not count.
    """
    if not (offsets.fill(connection, batch) if backfill else offsets.move(connection, batch, now)):
        return StrataNews(tuple(strata.kept(connection)))
    batch, news = strata.settle(connection, batch, limits, now)
    kept_per_cell = _count_requests(connection, batch, keep, now)
    entered = _merge_sample(connection, batch, kept_per_cell)
    counts.add(
        connection,
        {
            (Count.CONSUMED, ""): batch.consumed,
            (Count.SAMPLED, ""): entered,
            **{(Count.REJECTED, reason): number for reason, number in batch.rejected.items()},
            **{(Count.DEAD_LETTERS, outcome): number for outcome, number in batch.dead_letters.items()},
        },
    )
    return news


def thresholds(connection: Connection, keep: int, since: datetime) -> dict[_Cell, float]:
    """The largest priority still kept, per full cell whose window starts at `since` or later.

    A candidate above it cannot enter. Cells with room are absent.
    """
    limit = case((cells.c.keep < keep, cells.c.keep), else_=keep)
    ranked = (
        select(
            cells.c.window_start,
            strata_table.c.key,
            samples.c.priority,
            limit.label("limit"),
            func.row_number().over(partition_by=samples.c.cell_id, order_by=_BY_PRIORITY).label("rank"),
        )
        .join_from(samples, cells)
        .join(strata_table)
        .where(cells.c.window_start >= since)
        .subquery()
    )
    query = select(ranked.c.window_start, ranked.c.key, ranked.c.priority).where(
        ranked.c.rank == ranked.c.limit
    )
    return {(start, Stratum.from_key(key)): priority for start, key, priority in connection.execute(query)}


def _count_requests(
    connection: Connection, batch: IntakeBatch, keep: int, now: datetime
) -> dict[_Cell, tuple[int, int]]:
    """Adds the requests; gives row number and k of every cell in the batch."""
    if not batch.requests:
        return {}
    stratum_ids = strata.intern(connection, (stratum for _, stratum in batch.requests), now)
    statement = insert(connection, cells)
    new = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=[cells.c.window_start, cells.c.stratum_id],
        set_={
            "requests": cells.c.requests + new.requests,
            "variance": cells.c.variance + new.variance,
            "keep": case((cells.c.keep < new.keep, cells.c.keep), else_=new.keep),
        },
    )
    connection.execute(
        statement,
        [
            {
                "window_start": start,
                "stratum_id": stratum_ids[stratum],
                "requests": requests,
                "variance": batch.variances.get((start, stratum), 0.0),
                "keep": keep,
            }
            for (start, stratum), requests in batch.requests.items()
        ],
    )
    by_id = {row_id: stratum for stratum, row_id in stratum_ids.items()}
    query = select(cells.c.window_start, cells.c.stratum_id, cells.c.id, cells.c.keep).where(
        cells.c.window_start.in_({start for start, _ in batch.requests})
    )
    return {
        (start, by_id[stratum_id]): (cell_id, kept)
        for start, stratum_id, cell_id, kept in connection.execute(query)
    }


def _merge_sample(
    connection: Connection, batch: IntakeBatch, kept_per_cell: dict[_Cell, tuple[int, int]]
) -> int:
    """Adds the candidates and prunes their cells; gives how many of them are in the sample now."""
    if not batch.sample:
        return 0
    rows, touched = [], {}
    for sampled in batch.sample:
        cell = _counted_cell(sampled, batch)
        cell_id, kept = kept_per_cell[cell]
        touched[cell_id] = kept
        rows.append(prompts.to_row(sampled, cell_id))
    connection.execute(insert(connection, samples), rows)
    candidates = {Position(row["topic"], row["partition"], row["offset"]) for row in rows}
    for cell_id, kept in touched.items():
        excess = select(samples.c.id).where(samples.c.cell_id == cell_id).order_by(*_BY_PRIORITY).offset(kept)
        displaced = connection.execute(
            delete(samples)
            .where(samples.c.id.in_(excess))
            .returning(samples.c.topic, samples.c.partition, samples.c.offset)
        )
        candidates.difference_update(Position(*row) for row in displaced)
    return len(candidates)


def _counted_cell(sampled: SampledPrompt, batch: IntakeBatch) -> _Cell:
    cell = (sampled.window_start, sampled.prompt.stratum)
    if cell not in batch.requests:
        raise ValueError(f"prompt {sampled.prompt.id!r} is sampled from a cell that its batch does not count")
    return cell
