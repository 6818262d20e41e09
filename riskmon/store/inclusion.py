"""How many requests a prompt stands for by design: the inverse of its chance to be among those worked on.

Inside a cell prompts are worked on by priority, so the first n of them are a bottom-n sample, and tau_n, the priority
of the next one, is the smallest that it leaves out; where all that are kept were reached it is the cell's own
(`riskmon.store.intake`). A prompt of size s that was read on behalf of a requests then stands for

    a / min(1, s tau_n)

Sums of these over any part of a cell are unbiased, whatever the sizes are (`riskmon.traffic.sampling`). n is the
place of the last prompt with a result, failed ones included. A prompt before it without one came in later or was
skipped.
Responses are judged in the same order and with a budget of their own, so they have an n of their own.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Subquery, and_, exists, func, select

from riskmon.store.tables import cells, results, samples, verdicts


def frontiers(of_cells: ColumnElement[bool], *, judged: bool = False) -> Subquery:
    """One row per cell that was worked on: `cell_id`, `reached` = n, `tau` = tau_n or null where nothing is left out.

    Args:
        judged: worked on are prompts whose response has a verdict, instead of those that were estimated or failed.
    """
    at_position = and_(
        results.c.topic == samples.c.topic,
        results.c.partition == samples.c.partition,
        results.c.offset == samples.c.offset,
    )
    in_order = samples.c.priority, samples.c.topic, samples.c.partition, samples.c.offset
    verdict = exists().where(verdicts.c.sample_id == samples.c.id)
    done = verdict if judged else results.c.written_at.is_not(None)
    ranked = (
        select(
            samples.c.cell_id,
            cells.c.left_out,
            done.label("done"),
            func.row_number().over(partition_by=samples.c.cell_id, order_by=in_order).label("rank"),
            func.lead(samples.c.priority)
            .over(partition_by=samples.c.cell_id, order_by=in_order)
            .label("next"),
        )
        .join_from(samples, cells)
        .outerjoin(results, at_position)
        .where(of_cells)
        .subquery()
    )
    last = (
        select(ranked.c.cell_id, func.max(ranked.c.rank).label("reached"))
        .where(ranked.c.done)
        .group_by(ranked.c.cell_id)
        .subquery()
    )
    return (
        select(last.c.cell_id, last.c.reached, func.coalesce(ranked.c.next, ranked.c.left_out).label("tau"))
        .join_from(last, ranked, and_(ranked.c.cell_id == last.c.cell_id, ranked.c.rank == last.c.reached))
        .subquery()
    )


def requests_behind(size: float, stands_for: float, tau: float | None) -> float:
    """a / min(1, s tau); a where nothing was left out."""
    return stands_for if tau is None else stands_for / min(1.0, size * tau)
