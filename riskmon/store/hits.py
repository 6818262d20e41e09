"""Harmful draws, kept so that later proposals are chosen from them and unsafe variants trained on them.

A hit holds what the model answered, so it lives no longer than its prompt: it goes with the sample's row, whether
that is purged or displaced. How many are kept is bounded per stratum and harm. Uncovered hits rank first, then newer
ones: an uncovered hit is the only trace of a harm that the proposals miss, and a covered one never takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace as replace_fields
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, func, insert, select

from riskmon.records import Float32Array, Hit, Prompt
from riskmon.store import prompts
from riskmon.store.tables import cells, hits, samples

_LITTLE_ENDIAN = np.dtype("<f4")


def add(connection: Connection, sample_id: int, found: Sequence[Hit], now: datetime) -> None:
    """Stores the hits of one prompt.

    Raises:
        ValueError: the log-probs of a hit do not have one column per token.
    """
    if found:
        connection.execute(insert(hits), [_to_row(hit, sample_id, now) for hit in found])


def replace(connection: Connection, sample_id: int, found: Sequence[Hit], now: datetime) -> None:
    """Stores the hits of a prompt drawn from again; an answer that was kept before and is named again is replaced.

    So it makes no difference whether `found` repeats the hits of the first draws, whose weights may have changed.

    Raises:
        ValueError: as `add`.
    """
    named = {(hit.harm, hit.tokens) for hit in found}
    kept = connection.execute(select(hits.c.id, hits.c.harm, hits.c.tokens).filter_by(sample_id=sample_id))
    again = [{"gone": row.id} for row in kept if (row.harm, tuple(row.tokens)) in named]
    if again:
        connection.execute(delete(hits).where(hits.c.id == bindparam("gone")), again)
    add(connection, sample_id, found, now)


def trim(connection: Connection, keep: int) -> int:
    """Deletes all but `keep` hits per stratum and harm; gives how many went."""
    ranked = select(hits.c.id, _rank().label("rank")).join_from(hits, samples).join(cells).subquery()
    gone = connection.execute(
        delete(hits).where(hits.c.id.in_(select(ranked.c.id).where(ranked.c.rank > keep)))
    )
    return gone.rowcount


def read(connection: Connection, since: datetime, limit_per_stratum: int) -> list[Hit]:
    """The hits of prompts in windows that start at `since` or later.

    Of each stratum and harm the `limit_per_stratum` that rank first, newest first; strata in order of first sight.
    """
    ranked = (
        select(hits, cells.c.stratum_id, _rank().label("rank"))
        .join_from(hits, samples)
        .join(cells)
        .where(cells.c.window_start >= since)
        .subquery()
    )
    query = (
        select(ranked)
        .where(ranked.c.rank <= limit_per_stratum)
        .order_by(ranked.c.stratum_id, ranked.c.harm, ranked.c.written_at.desc(), ranked.c.id.desc())
    )
    rows = connection.execute(query).all()
    # A prompt's text is read once, however many hits it has.
    texts = prompts.read(connection, list(dict.fromkeys(row.sample_id for row in rows)))
    return [_from_row(row, texts[row.sample_id].prompt) for row in rows]


def count(connection: Connection, since: datetime) -> dict[str, int]:
    """Kept hits per harm of prompts in windows that start at `since` or later; a harm without any is absent."""
    query = (
        select(hits.c.harm, func.count().label("number"))
        .join_from(hits, samples)
        .join(cells)
        .where(cells.c.window_start >= since)
        .group_by(hits.c.harm)
    )
    return {row.harm: row.number for row in connection.execute(query)}


def _rank() -> ColumnElement[int]:
    """Rank from 1 within stratum and harm: uncovered first, then the newest."""
    return func.row_number().over(
        partition_by=(cells.c.stratum_id, hits.c.harm),
        order_by=(hits.c.uncovered.desc(), hits.c.written_at.desc(), hits.c.id.desc()),
    )


def _to_row(hit: Hit, sample_id: int, now: datetime) -> dict[str, Any]:
    if hit.log_probs.ndim != 2 or hit.log_probs.shape[1] != len(hit.tokens):
        raise ValueError(f"{hit!r} has log-probs of shape {hit.log_probs.shape}; give one column per token")
    return {
        "sample_id": sample_id,
        "harm": hit.harm,
        "tokens": list(hit.tokens),
        "weight": hit.weight,
        "uncovered": hit.uncovered,
        "voices": hit.voices,
        "voice_count": len(hit.log_probs),
        "log_probs": hit.log_probs.astype(_LITTLE_ENDIAN).tobytes(),
        "written_at": now,
    }


def _from_row(row: Row[Any], prompt: Prompt) -> Hit:
    log_probs: Float32Array = np.frombuffer(row.log_probs, _LITTLE_ENDIAN).astype(np.float32)
    return Hit(
        prompt=replace_fields(prompt, response=None),  # what was answered otherwise is no part of a hit
        harm=row.harm,
        tokens=tuple(row.tokens),
        weight=row.weight,
        uncovered=row.uncovered,
        voices=row.voices,
        log_probs=log_probs.reshape(row.voice_count, len(row.tokens)),
    )
