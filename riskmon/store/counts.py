"""Counters that only grow and survive restarts: one row per name and label."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import Connection, select

from riskmon.records import Counters
from riskmon.store.tables import counters
from riskmon.store.upsert import insert


class Count(StrEnum):
    """What is counted, and what its label means."""

    CONSUMED = "consumed"
    SAMPLED = "sampled"
    REJECTED = "rejected"  # label: reason
    ESTIMATED = "estimated"
    FAILED = "failed"  # label: reason
    TOKENS = "tokens"
    DEVICE_SECONDS = "device_seconds"
    OBSERVED = "observed"  # label: harm
    OBSERVED_HARMFUL = "observed_harmful"  # label: harm
    JOB_FAILED = "job_failed"  # label: job


def add(connection: Connection, amounts: Mapping[tuple[Count, str], float]) -> None:
    """Adds each amount to its (count, label); a label that was never seen starts at zero."""
    if not amounts:
        return
    statement = insert(connection, counters)
    statement = statement.on_conflict_do_update(
        index_elements=[counters.c.name, counters.c.label],
        set_={"value": counters.c.value + statement.excluded.value},
    )
    rows = [{"name": str(name), "label": label, "value": amount} for (name, label), amount in amounts.items()]
    connection.execute(statement, rows)


def read(connection: Connection) -> Counters:
    """All counters."""
    rows = connection.execute(
        select(counters.c.name, counters.c.label, counters.c.value).order_by(
            counters.c.name, counters.c.label
        )
    )
    values: dict[str, dict[str, float]] = {}
    for name, label, value in rows:
        values.setdefault(name, {})[label] = value

    def whole(count: Count) -> dict[str, int]:
        return {label: int(value) for label, value in values.get(count, {}).items()}

    harmful = whole(Count.OBSERVED_HARMFUL)
    return Counters(
        consumed=whole(Count.CONSUMED).get("", 0),
        sampled=whole(Count.SAMPLED).get("", 0),
        rejected=whole(Count.REJECTED),
        estimated_prompts=whole(Count.ESTIMATED).get("", 0),
        estimate_failures=whole(Count.FAILED),
        estimate_tokens=whole(Count.TOKENS).get("", 0),
        estimate_device_seconds=values.get(Count.DEVICE_SECONDS, {}).get("", 0.0),
        observed={harm: (outputs, harmful.get(harm, 0)) for harm, outputs in whole(Count.OBSERVED).items()},
        job_failures=whole(Count.JOB_FAILED),
    )
