"""What estimating one prompt gave: its estimates, or why there are none, and the work it took.

The ledger `results` has one row per position and takes it once, so a result that is written again after a lost
connection or a restart changes nothing. A prompt that was displaced from the sample while it was being estimated
still counts as work done; its estimates are dropped, since they belong to no sample.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

from sqlalchemy import Connection, select

from riskmon.records import Estimate, PromptResult
from riskmon.store import counts
from riskmon.store.counts import Count
from riskmon.store.prompts import position_columns
from riskmon.store.tables import estimates, results, samples
from riskmon.store.upsert import insert

# Columns of `estimates` that carry the field of the same name; the rest comes from the sample and its cell.
ESTIMATE_VALUES = tuple(
    field.name for field in fields(Estimate) if field.name not in {"prompt_id", "stratum", "flags"}
)


def write(connection: Connection, cycle_id: int, result: PromptResult, now: datetime) -> None:
    """Records one result; does nothing where its position has one.

    Raises:
        ValueError: the prompt has no position.
    """
    position = position_columns(result.prompt)
    added = connection.execute(
        insert(connection, results)
        .values(**position, cycle_id=cycle_id, failure=result.failure, written_at=now)
        .on_conflict_do_nothing()
        .returning(results.c.offset)
    )
    if added.first() is None:
        return
    sample_id = connection.scalar(select(samples.c.id).filter_by(**position))
    if sample_id is not None and result.estimates:
        rows = [
            {
                "sample_id": sample_id,
                "flags": [str(flag) for flag in estimate.flags],
                **{name: getattr(estimate, name) for name in ESTIMATE_VALUES},
            }
            for estimate in result.estimates
        ]
        connection.execute(insert(connection, estimates), rows)
    counts.add(connection, _amounts(result))


def _amounts(result: PromptResult) -> dict[tuple[Count, str], float]:
    amounts: dict[tuple[Count, str], float] = {}
    if result.failure is not None:
        amounts[Count.FAILED, result.failure] = 1
    elif result.estimates:
        # All harms of a prompt share one set of draws, so each states the same cost.
        cost = result.estimates[0]
        amounts[Count.ESTIMATED, ""] = 1
        amounts[Count.TOKENS, ""] = cost.tokens
        amounts[Count.DEVICE_SECONDS, ""] = cost.device_seconds
    for harm, harmful in result.observed.items():
        amounts[Count.OBSERVED, harm] = 1
        amounts[Count.OBSERVED_HARMFUL, harm] = int(harmful)
    return amounts
