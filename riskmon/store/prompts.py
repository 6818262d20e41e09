"""How a sampled prompt lies in its row: position in columns, id as JSON, text and response sealed.

The body is JSON. Plain text is a string. A conversation is a list of `[role, text]`, or `[role, text, more]` where a
message has a name or takes part in a tool call; where the request told of tools it is
`{"messages": that list, "tools": ...}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from riskmon.records import Message, Position, Prompt, SampledPrompt, Stratum
from riskmon.records.sensitivity import SampleKey
from riskmon.store.tables import cells, samples, strata

# Texts are read in chunks: both databases bound the parameters of a statement.
_CHUNK = 500

# In the order of the fields of `Message`.
_MORE = ("name", "tool_call_id", "tool_calls")


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


def find(connection: Connection, keys: Sequence[SampleKey]) -> list[Prompt]:
    """The prompts of these keys, in their order; those that are gone are left out.

    Where a producer gave an id twice within a cell, the prompt of smallest priority is meant.
    """
    if not keys:
        return []
    moments = [key.window_start for key in keys]
    wanted = {(key.window_start, key.stratum) for key in keys}
    between = (
        select(cells.c.id, cells.c.window_start, strata.c.key)
        .join_from(cells, strata)
        .where(cells.c.window_start >= min(moments), cells.c.window_start <= max(moments))
    )
    cell_of = {row.id: (row.window_start, Stratum.from_key(row.key)) for row in connection.execute(between)}
    cell_ids = [cell_id for cell_id, cell in cell_of.items() if cell in wanted]
    ids: dict[SampleKey, int] = {}
    for first in range(0, len(cell_ids), _CHUNK):
        # Ids are compared here and not in SQL: PostgreSQL has no equality of JSON.
        query = (
            select(samples.c.id, samples.c.cell_id, samples.c.prompt_id)
            .where(samples.c.cell_id.in_(cell_ids[first : first + _CHUNK]))
            .order_by(samples.c.priority, samples.c.id)
        )
        for row in connection.execute(query):
            ids.setdefault(SampleKey(*cell_of[row.cell_id], row.prompt_id), row.id)
    chosen = [ids[key] for key in keys if key in ids]
    found = read(connection, chosen)
    return [found[sample_id].prompt for sample_id in chosen]


def to_row(sampled: SampledPrompt, cell_id: int) -> dict[str, Any]:
    """Columns of `samples`."""
    prompt = sampled.prompt
    return {
        "cell_id": cell_id,
        **position_columns(prompt),
        "priority": sampled.priority,
        "size": sampled.size,
        "stands_for": sampled.stands_for,
        "prompt_id": prompt.id,
        "body": _to_body(prompt),
        "response": prompt.response,
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
    content, tools = _from_body(row.body)
    prompt = Prompt(
        id=row.prompt_id,
        content=content,
        stratum=stratum,
        position=Position(row.topic, row.partition, row.offset),
        response=row.response,
        tools=tools,
    )
    return SampledPrompt(prompt, window_start, row.priority, row.size, row.stands_for)


def _to_body(prompt: Prompt) -> Any:
    if isinstance(prompt.content, str):
        return prompt.content
    turns = [_to_turn(message) for message in prompt.content]
    return turns if prompt.tools is None else {"messages": turns, "tools": prompt.tools}


def _from_body(body: Any) -> tuple[str | tuple[Message, ...], str | None]:
    """Content and tools."""
    if isinstance(body, str):
        return body, None
    turns, tools = (body["messages"], body["tools"]) if isinstance(body, dict) else (body, None)
    return tuple(Message(role, text, *map(more.get, _MORE)) for role, text, more in map(_whole, turns)), tools


def _to_turn(message: Message) -> list[Any]:
    more = {name: value for name in _MORE if (value := getattr(message, name)) is not None}
    return [message.role, message.content, more] if more else [message.role, message.content]


def _whole(turn: list[Any]) -> tuple[str, str, dict[str, str]]:
    return turn[0], turn[1], turn[2] if len(turn) > 2 else {}
