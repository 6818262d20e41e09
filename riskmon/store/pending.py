"""Sampled prompts that wait for a result, or for a verdict on their response, in the order of `estimation_order`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, and_, select

from riskmon.records import Position, SampledPrompt
from riskmon.store import prompts
from riskmon.store.order import Candidate, estimation_order
from riskmon.store.tables import cells, results, samples


def read(connection: Connection, since: datetime, limit: int | None) -> list[SampledPrompt]:
    """The first `limit` waiting prompts (all without one) of windows that start at `since` or later."""
    return _first(connection, _candidates(connection, since), limit)


def sampled(connection: Connection, since: datetime, limit: int | None) -> list[SampledPrompt]:
    """The first `limit` sampled prompts, estimated or not, in the same order."""
    candidates = [dataclasses.replace(candidate, done=False) for candidate in _candidates(connection, since)]
    return _first(connection, candidates, limit)


def unjudged(connection: Connection, since: datetime, limit: int | None) -> list[SampledPrompt]:
    """The first `limit` sampled prompts whose response waits to be judged, estimated or not.

    In each cell they are the next in the order of priorities among those with a response, so what has been judged of a
    cell is always a bottom-k sample of it, however many there are and however many prompts were estimated.
    """
    silent = {
        sample_id
        for (sample_id,) in connection.execute(
            select(samples.c.id)
            .join_from(samples, cells)
            .where(cells.c.window_start >= since, samples.c.response.is_(None))
        )
    }
    candidates = [
        dataclasses.replace(candidate, done=candidate.sample_id in silent)
        for candidate in _candidates(connection, since)
    ]
    return _first(connection, candidates, limit)


def _first(connection: Connection, candidates: Sequence[Candidate], limit: int | None) -> list[SampledPrompt]:
    chosen = [candidate.sample_id for candidate in estimation_order(candidates)[:limit]]
    found = prompts.read(connection, chosen)
    return [found[sample_id] for sample_id in chosen]


def _candidates(connection: Connection, since: datetime) -> list[Candidate]:
    at_position = and_(
        results.c.topic == samples.c.topic,
        results.c.partition == samples.c.partition,
        results.c.offset == samples.c.offset,
    )
    query = (
        select(
            samples.c.id,
            samples.c.cell_id,
            cells.c.requests,
            samples.c.priority,
            samples.c.topic,
            samples.c.partition,
            samples.c.offset,
            results.c.written_at.is_not(None).label("done"),
        )
        .join_from(samples, cells)
        .outerjoin(results, at_position)
        .where(cells.c.window_start >= since)
    )
    return [
        Candidate(
            sample_id=row.id,
            cell_id=row.cell_id,
            population=row.requests,
            priority=row.priority,
            position=Position(row.topic, row.partition, row.offset),
            done=row.done,
        )
        for row in connection.execute(query)
    ]
