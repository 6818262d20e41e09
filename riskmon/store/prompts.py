"""How a sampled prompt lies in its row: position in columns, id and text as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from riskmon.records import Message, Position, Prompt, SampledPrompt, Stratum
from riskmon.store.tables import cells, samples, strata

# Texts are read in chunks: both databases bound the parameters of a statement.
_CHUNK = 500


def read(connection: Connection, sample_ids: Sequence[int]) -> dict[int, SampledPrompt]:
    """The sampled prompts of these rows; a row that is gone is absent."""
    found: dict[int, SampledPrompt] = {}
    for first in range(0, len(sample_ids), _CHUNK):
        query = (
            select(samples, cells.c.window_start, strata.c.key)
            .join_from(samples, cells)
            .join(strata)
            .where(samples.c.id.in_(sample_ids[first : first + _CHUNK]))
        )
        for row in connection.execute(query):
            found[row.id] = from_row(row, stratum=Stratum.from_key(row.key), window_start=row.window_start)
    return found


def to_row(sampled: SampledPrompt, cell_id: int) -> dict[str, Any]:
    """Columns of `samples`."""
    prompt = sampled.prompt
    content = prompt.content
    return {
        "cell_id": cell_id,
        **position_columns(prompt),
        "priority": sampled.priority,
        "prompt_id": prompt.id,
        "body": {
            "content": content
            if isinstance(content, str)
            else [[turn.role, turn.content] for turn in content],
            "response": prompt.response,
        },
    }


def position_columns(prompt: Prompt) -> dict[str, Any]:
    """Topic, partition and offset of a prompt from a stream.

    Raises:
        ValueError: the prompt has no position, so it did not come from the store.
    """
    if prompt.position is None:
        raise ValueError(f"prompt {prompt.id!r} has no position; the store keeps prompts of a stream only")
    position = prompt.position
    return {"topic": position.topic, "partition": position.partition, "offset": position.offset}


def from_row(row: Row[Any], *, stratum: Stratum, window_start: datetime) -> SampledPrompt:
    """Inverse of `to_row`, given the cell."""
    content = row.body["content"]
    prompt = Prompt(
        id=row.prompt_id,
        content=content if isinstance(content, str) else tuple(Message(role, text) for role, text in content),
        stratum=stratum,
        position=Position(row.topic, row.partition, row.offset),
        response=row.body["response"],
    )
    return SampledPrompt(prompt, window_start, row.priority)
