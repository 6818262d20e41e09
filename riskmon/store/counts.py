"""Counters that only grow and survive restarts: one row per name and label."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy import Connection, select

from riskmon.records import Counters, Stratum
from riskmon.store.tables import counters
from riskmon.store.upsert import insert


class Count(StrEnum):
    """What is counted, and what its label means."""

    CONSUMED = "consumed"
    SAMPLED = "sampled"
    REJECTED = "rejected"  # label: reason
    SCORER_FAILED = "scorer_failed"  # label: reason
    DEAD_LETTERS = "dead_letters"  # label: outcome
    ESTIMATED = "estimated"
    FAILED = "failed"  # label: reason
    TOKENS = "tokens"
    DEVICE_SECONDS = "device_seconds"
    PAUSED_SECONDS = "paused_seconds"
    OBSERVED = "observed"  # label: harm
    OBSERVED_HARMFUL = "observed_harmful"  # label: harm
    OBSERVED_UNCOVERED = "observed_uncovered"  # label: harm
    OBSERVED_IN_STRATUM = "observed_in_stratum"  # label: harm and stratum, see `cell_label`
    OBSERVED_HARMFUL_IN_STRATUM = "observed_harmful_in_stratum"  # likewise
    VERDICTS = "verdicts"  # label: harm
    UNREADABLE = "unreadable"  # label: harm
    WORKER_LOST = "worker_lost"  # label: reason
    JOB_FAILED = "job_failed"  # label: job
    STRATUM_CHANGED = "stratum_changed"  # label: see `StratumChange`


def cell_label(harm: str, stratum: Stratum) -> str:
    """Names a harm in a stratum; a harm's name holds no space."""
    return f"{harm} {stratum.key()}"


def _cell(label: str) -> tuple[str, Stratum]:
    harm, _, key = label.partition(" ")
    return harm, Stratum.from_key(key)


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

    def pairs(of: Count, among: Count) -> dict[str, tuple[int, int]]:
        part = whole(of)
        return {label: (count, part.get(label, 0)) for label, count in whole(among).items()}

    by_stratum = pairs(Count.OBSERVED_HARMFUL_IN_STRATUM, Count.OBSERVED_IN_STRATUM)
    return Counters(
        consumed=whole(Count.CONSUMED).get("", 0),
        sampled=whole(Count.SAMPLED).get("", 0),
        rejected=whole(Count.REJECTED),
        scorer_failures=whole(Count.SCORER_FAILED),
        dead_letters=whole(Count.DEAD_LETTERS),
        estimated_prompts=whole(Count.ESTIMATED).get("", 0),
        estimate_failures=whole(Count.FAILED),
        estimate_tokens=whole(Count.TOKENS).get("", 0),
        estimate_device_seconds=values.get(Count.DEVICE_SECONDS, {}).get("", 0.0),
        estimate_paused_seconds=values.get(Count.PAUSED_SECONDS, {}).get("", 0.0),
        observed=pairs(Count.OBSERVED_HARMFUL, Count.OBSERVED),
        observed_uncovered=whole(Count.OBSERVED_UNCOVERED),
        observed_by_stratum={_cell(label): pair for label, pair in by_stratum.items()},
        verdicts=pairs(Count.UNREADABLE, Count.VERDICTS),
        worker_losses=whole(Count.WORKER_LOST),
        job_failures=whole(Count.JOB_FAILED),
    )
