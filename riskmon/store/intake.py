"""Counts and the bottom-k sample of every cell, written together with the offsets that they cover.

A cell (one stratum in one counting window) keeps the k candidates of smallest priority, ties broken by position.
Keeping the k smallest is a merge: any split or order of the stream into batches, and any number of processes that read
parts of it, leave the same sample (Cohen & Kaplan 2007, "Summarizing data using bottom-k sketches"): a uniform one
without replacement, or one by size (`riskmon.traffic.sampling`).

**The smallest priority left out**, tau, is what weights are made from. Intakes offer the k + 1 smallest of what they
read, so the k + 1 smallest of all are offered at some time. All but k are displaced sooner or later, in this cell or at
once, and the smallest priority ever displaced is kept with the cell. It is tau exactly: the k + 1st is displaced, and
nothing smaller ever is. An intake may refuse whatever is not below it.

That holds only while k never grows within a cell, since what a smaller k displaced is gone. So each cell remembers
the smallest k it was written with, and a raised setting takes effect from the next window on. A lowered one takes
effect at once, in every cell that is written to.

A displaced prompt is deleted with its text and its estimates: it is no longer part of any sample.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, case, delete, func, or_, select, update

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
    """Adds a batch: offsets, strata, requests, sample, counters; gives the strata that are kept apart from here on.

    Where exactly this batch was written already, nothing changes.

    Raises:
        BatchRefused: messages of the batch may have been counted already.
        ValueError: a sampled prompt lies in a cell that the batch does not count.
    """
    if not (offsets.fill(connection, batch) if backfill else offsets.move(connection, batch, now)):
        return strata.settle(connection, IntakeBatch(), limits, now)[1]
    batch, news = strata.settle(connection, batch, limits, now)
    lowered = _larger_cells(connection, batch, keep)
    kept_per_cell = _count_requests(connection, batch, keep, now)
    entered = _merge_sample(connection, batch, kept_per_cell, lowered)
    counts.add(
        connection,
        {
            (Count.CONSUMED, ""): batch.consumed,
            (Count.SAMPLED, ""): entered,
            **{(Count.REJECTED, reason): number for reason, number in batch.rejected.items()},
            **{(Count.SCORER_FAILED, reason): number for reason, number in batch.scorer_failures.items()},
            **{(Count.DEAD_LETTERS, outcome): number for outcome, number in batch.dead_letters.items()},
        },
    )
    return news


def thresholds(connection: Connection, keep: int, since: datetime) -> dict[_Cell, float]:
    """The smallest priority that `keep` leaves out, per cell whose window starts at `since` or later.

    A candidate that is not below it cannot enter, nor change it. Cells that leave nothing out are absent.
    """
    limit = case((cells.c.keep < keep, cells.c.keep), else_=keep)
    ranked = (
        select(
            samples.c.cell_id,
            samples.c.priority,
            limit.label("limit"),
            func.row_number().over(partition_by=samples.c.cell_id, order_by=_BY_PRIORITY).label("rank"),
        )
        .join_from(samples, cells)
        .where(cells.c.window_start >= since)
        .subquery()
    )
    # There is one where k was lowered since the cell was last written.
    beyond = select(ranked.c.cell_id, ranked.c.priority).where(ranked.c.rank == ranked.c.limit + 1).subquery()
    left_out = func.coalesce(beyond.c.priority, cells.c.left_out)
    query = (
        select(cells.c.window_start, strata_table.c.key, left_out)
        .join_from(cells, strata_table)
        .outerjoin(beyond, beyond.c.cell_id == cells.c.id)
        .where(cells.c.window_start >= since, left_out.is_not(None))
    )
    return {(start, Stratum.from_key(key)): priority for start, key, priority in connection.execute(query)}


def _larger_cells(connection: Connection, batch: IntakeBatch, keep: int) -> list[int]:
    """Cells in the windows of the batch that were written with a larger k."""
    starts = {start for start, _ in batch.requests}
    return list(
        connection.scalars(select(cells.c.id).where(cells.c.window_start.in_(starts), cells.c.keep > keep))
    )


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
            "scored": or_(cells.c.scored, new.scored),
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
                "scored": batch.scored,
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
    connection: Connection,
    batch: IntakeBatch,
    kept_per_cell: dict[_Cell, tuple[int, int]],
    lowered: Collection[int],
) -> int:
    """Adds the candidates, prunes their cells and the `lowered` ones; gives how many candidates stay."""
    rows = []
    touched = {cell_id: kept for cell_id, kept in kept_per_cell.values() if cell_id in lowered}
    for sampled in batch.sample:
        cell_id, kept = kept_per_cell[_counted_cell(sampled, batch)]
        touched[cell_id] = kept
        rows.append(prompts.to_row(sampled, cell_id))
    if rows:
        connection.execute(insert(connection, samples), rows)
    candidates = {Position(row["topic"], row["partition"], row["offset"]) for row in rows}
    for cell_id, kept in touched.items():
        candidates -= _prune(connection, cell_id, kept)
    return len(candidates)


def _prune(connection: Connection, cell_id: int, kept: int) -> set[Position]:
    """Displaces all but the first `kept` of a cell, and remembers their smallest priority; gives which went."""
    excess = select(samples.c.id).where(samples.c.cell_id == cell_id).order_by(*_BY_PRIORITY).offset(kept)
    displaced = connection.execute(
        delete(samples)
        .where(samples.c.id.in_(excess))
        .returning(samples.c.topic, samples.c.partition, samples.c.offset, samples.c.priority)
    ).all()
    if displaced:
        smallest = min(row.priority for row in displaced)
        unknown_or_larger = or_(cells.c.left_out.is_(None), cells.c.left_out > smallest)
        connection.execute(
            update(cells).where(cells.c.id == cell_id, unknown_or_larger).values(left_out=smallest)
        )
    return {Position(row.topic, row.partition, row.offset) for row in displaced}


def _counted_cell(sampled: SampledPrompt, batch: IntakeBatch) -> _Cell:
    cell = (sampled.window_start, sampled.prompt.stratum)
    if cell not in batch.requests:
        raise ValueError(f"prompt {sampled.prompt.id!r} is sampled from a cell that its batch does not count")
    return cell
