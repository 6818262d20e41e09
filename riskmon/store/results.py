"""What estimating one prompt gave: its estimates and hits, or why there are none, and the work it took.

The ledger `results` has one row per position and says how many draws of it are counted, so a result that is written
again after a lost connection or a restart changes nothing:

    write     takes a position once
    refine    replaces an estimate by one from more draws, and counts only the cost that came on top

A prompt that was displaced from the sample while it was being estimated still counts as work done, refined or not;
its estimates and hits are dropped, since they belong to no sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from riskmon.records import Estimate, PromptResult
from riskmon.store import counts, hits
from riskmon.store.counts import Count
from riskmon.store.prompts import position_columns
from riskmon.store.tables import estimates, results, samples
from riskmon.store.upsert import insert

# `Estimate.judged`, for queries: where the judge was away p is 0 for want of verdicts.
JUDGED = 2 * estimates.c.unreadable < estimates.c.n

# Columns of `estimates` that carry the field of the same name; the rest comes from the sample and its cell.
ESTIMATE_VALUES = tuple(
    field.name for field in fields(Estimate) if field.name not in {"prompt_id", "stratum", "flags"}
)


def write(connection: Connection, cycle_id: int, result: PromptResult, now: datetime) -> None:
    """Records one result; does nothing where its position has one.

    Raises:
        ValueError: the prompt has no position, or a hit is malformed.
    """
    position = position_columns(result.prompt)
    added = connection.execute(
        insert(connection, results)
        .values(**position, cycle_id=cycle_id, failure=result.failure, written_at=now, **_spent(result))
        .on_conflict_do_nothing()
        .returning(results.c.offset)
    )
    if added.first() is None:
        return
    sample_id = _sample_id(connection, position)
    if sample_id is not None:
        _add_estimates(connection, sample_id, result)
        hits.add(connection, sample_id, result.hits, now)
    counts.add(connection, _amounts(result))


def refine(connection: Connection, cycle_id: int, result: PromptResult, now: datetime) -> None:
    """Replaces the estimates of a position by those of a result from more draws.

    Draws, tokens and device seconds of `result` include those counted before; the difference is counted now. The
    prompt is not counted again. Nothing changes where `result` has no more draws than
    are counted, where it failed (the first estimate stands), and where the position is in the ledger as failed. A
    position that is not in the ledger is recorded as a first result.

    Raises:
        ValueError: the prompt has no position, a hit is malformed, or the cost is less than what is counted already.
    """
    position = position_columns(result.prompt)
    before = connection.execute(select(results).filter_by(**position)).one_or_none()
    if before is None:
        write(connection, cycle_id, result, now)
        return
    if not result.estimates or before.draws is None or result.estimates[0].n <= before.draws:
        return
    spent = _spent(result)
    more_tokens = spent["tokens"] - before.tokens
    more_seconds = spent["device_seconds"] - before.device_seconds
    if more_tokens < 0 or more_seconds < 0:
        raise ValueError(
            f"prompt {result.prompt.id!r} was refined at less cost than its first estimate; "
            "a refined result states the cost of all its draws"
        )
    connection.execute(
        update(results).filter_by(**position).values(cycle_id=cycle_id, written_at=now, **spent)
    )
    sample_id = _sample_id(connection, position)
    if sample_id is not None:
        counts.add(connection, _further_verdicts(connection, sample_id, result))
        connection.execute(delete(estimates).where(estimates.c.sample_id == sample_id))
        _add_estimates(connection, sample_id, result)
        hits.replace(connection, sample_id, result.hits, now)
    counts.add(connection, {(Count.TOKENS, ""): more_tokens, (Count.DEVICE_SECONDS, ""): more_seconds})


def _sample_id(connection: Connection, position: Mapping[str, Any]) -> int | None:
    found: int | None = connection.scalar(select(samples.c.id).filter_by(**position))
    return found


def _add_estimates(connection: Connection, sample_id: int, result: PromptResult) -> None:
    rows = [
        {
            "sample_id": sample_id,
            "flags": [str(flag) for flag in estimate.flags],
            **{name: getattr(estimate, name) for name in ESTIMATE_VALUES},
        }
        for estimate in result.estimates
    ]
    if rows:
        connection.execute(insert(connection, estimates), rows)


def _further_verdicts(
    connection: Connection, sample_id: int, result: PromptResult
) -> dict[tuple[Count, str], float]:
    """Verdicts beyond those of the estimates that the sample has so far."""
    columns = (estimates.c.harm, estimates.c.n, estimates.c.unreadable)
    rows = connection.execute(select(*columns).where(estimates.c.sample_id == sample_id))
    before = {harm: (n, unreadable) for harm, n, unreadable in rows}
    amounts: dict[tuple[Count, str], float] = {}
    for estimate in result.estimates:
        n, unreadable = before.get(estimate.harm, (0, 0))
        amounts[Count.VERDICTS, estimate.harm] = estimate.n - n
        # A judge that reads a random part of the answers may be luckier the second time; a counter never falls.
        amounts[Count.UNREADABLE, estimate.harm] = max(0, estimate.unreadable - unreadable)
    return amounts


def _spent(result: PromptResult) -> dict[str, Any]:
    """Draws and cost, as columns of `results`; all harms of a prompt share one set of draws and state the same."""
    if not result.estimates:
        return {"draws": None, "tokens": None, "device_seconds": None}
    cost = result.estimates[0]
    return {"draws": cost.n, "tokens": cost.tokens, "device_seconds": cost.device_seconds}


def _amounts(result: PromptResult) -> dict[tuple[Count, str], float]:
    amounts: dict[tuple[Count, str], float] = {}
    if result.failure is not None:
        amounts[Count.FAILED, result.failure] = 1
    elif result.estimates:
        spent = _spent(result)
        amounts[Count.ESTIMATED, ""] = 1
        amounts[Count.TOKENS, ""] = spent["tokens"]
        amounts[Count.DEVICE_SECONDS, ""] = spent["device_seconds"]
    for estimate in result.estimates:
        amounts[Count.VERDICTS, estimate.harm] = estimate.n
        amounts[Count.UNREADABLE, estimate.harm] = estimate.unreadable
    return amounts
