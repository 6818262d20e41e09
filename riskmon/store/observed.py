"""Production responses that wait to be judged, and what came of those that were.

A response is kept, sealed, until it is judged, and no longer than its prompt. It is judged at most once: the row that
gives it up is the one that counts, so a verdict that is written again changes nothing. One whose prompt was displaced
in the meantime belongs to no sample and is dropped.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, update

from riskmon.records.observed import Observation
from riskmon.store import counts, hits, judged
from riskmon.store.counts import Count, cell_label
from riskmon.store.prompts import position_columns
from riskmon.store.tables import samples


def write(connection: Connection, seen: Observation, now: datetime) -> None:
    """Records what was said of one response; does nothing where it was judged already, or left the sample.

    Raises:
        ValueError: the prompt has no position, or a hit is malformed.
    """
    sample_id = connection.scalar(
        update(samples)
        .filter_by(**position_columns(seen.prompt))
        .where(samples.c.response.is_not(None))
        .values(response=None)
        .returning(samples.c.id)
    )
    if sample_id is None:
        return
    judged.add(connection, sample_id, seen.verdicts)
    hits.add(connection, sample_id, seen.hits, now)
    counts.add(connection, _amounts(seen))


def _amounts(seen: Observation) -> dict[tuple[Count, str], float]:
    amounts: dict[tuple[Count, str], float] = {}
    for harm, verdict in seen.verdicts.items():
        cell = cell_label(harm, seen.prompt.stratum)
        amounts[Count.OBSERVED, harm] = 1
        amounts[Count.OBSERVED_HARMFUL, harm] = int(verdict.harmful)
        amounts[Count.OBSERVED_IN_STRATUM, cell] = 1
        amounts[Count.OBSERVED_HARMFUL_IN_STRATUM, cell] = int(verdict.harmful)
        if verdict.uncovered:
            amounts[Count.OBSERVED_UNCOVERED, harm] = 1
    return amounts
