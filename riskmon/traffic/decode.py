"""From bytes to a request: what was asked, when, and in which cell of the traffic.

In comes one `RawMessage`, out goes a `Decoded` or a `Rejected` with a stable reason. No input raises. Everything is
read, so that a message counts the same whether or not it is sampled; the `Prompt` is built only for the few that are
kept. JSON is strict (RFC 8259, by orjson): invalid UTF-8, lone surrogates and NaN are `not_json`, so no text that gets
through can fail to be encoded later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from riskmon.config import TrafficConfig
from riskmon.records import Position, Prompt, Stratum
from riskmon.traffic.content import BadMessages, Content, clean, read_content
from riskmon.traffic.paths import compile_path
from riskmon.traffic.source import RawMessage
from riskmon.traffic.strata import Labels
from riskmon.traffic.timestamps import parse_timestamp

LONGEST_ID = 256


class Reason(StrEnum):
    """Why a message is not a request; the value is a metric label."""

    EMPTY = "empty"
    OVERSIZED = "oversized"
    NOT_JSON = "not_json"
    NOT_OBJECT = "not_object"
    NO_PROMPT = "no_prompt"
    BAD_MESSAGES = "bad_messages"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_ID = "bad_id"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that is not a request."""

    reason: Reason


@dataclass(slots=True)
class Decoded:
    """A request; its text stays out of `repr`.

    Attributes:
        id: the producer's id, or the position.
        content: plain text, or chat messages.
        label_values: values of the stratum labels, before any cap.
        requested_at: aware UTC.
        position: where the message stands.
        response: what the deployed model answered, where the stream carries it.
    """

    id: str
    content: Content = field(repr=False)
    label_values: tuple[str, ...]
    requested_at: datetime
    position: Position
    response: str | None = field(repr=False)

    def prompt(self, stratum: Stratum) -> Prompt:
        """The request as a prompt of the stratum it is counted in."""
        return Prompt(self.id, self.content, stratum, self.position, self.response)


class Decoder:
    """Decodes messages by the configured field paths.

    Args:
        config: field paths, strata and the size limit.
    """

    def __init__(self, config: TrafficConfig) -> None:
        self.labels = Labels(config.strata)
        self._max_bytes = config.max_message_bytes
        self._id = compile_path(config.fields.id)
        self._prompt = compile_path(config.fields.prompt)
        self._messages = compile_path(config.fields.messages)
        self._timestamp = compile_path(config.fields.timestamp)
        self._response = compile_path(config.fields.response)

    def decode(self, message: RawMessage, now: datetime) -> Decoded | Rejected:
        """Read one message; `now` is its time where neither the message nor the broker gives one."""
        value = message.value
        if not value:
            return _REJECTED[Reason.CORRUPT if message.corrupt else Reason.EMPTY]
        if len(value) > self._max_bytes:
            return _REJECTED[Reason.OVERSIZED]
        try:
            document = orjson.loads(value)
        except orjson.JSONDecodeError:
            return _REJECTED[Reason.NOT_JSON]
        if not isinstance(document, dict):
            return _REJECTED[Reason.NOT_OBJECT]
        return self._read(document, message, now)

    def _read(self, document: dict[str, Any], message: RawMessage, now: datetime) -> Decoded | Rejected:
        try:
            content = read_content(self._prompt(document), self._messages(document))
        except BadMessages:
            return _REJECTED[Reason.BAD_MESSAGES]
        if content is None:
            return _REJECTED[Reason.NO_PROMPT]

        timestamp = self._timestamp(document)
        if timestamp is None:
            requested_at: datetime | None = message.timestamp or now
        else:
            requested_at = parse_timestamp(timestamp)
        if requested_at is None:
            return _REJECTED[Reason.BAD_TIMESTAMP]

        prompt_id = read_id(self._id(document), default=message.position)
        if prompt_id is None:
            return _REJECTED[Reason.BAD_ID]

        response = self._response(document)
        return Decoded(
            prompt_id,
            content,
            self.labels.values(document),
            requested_at,
            message.position,
            clean(response) if isinstance(response, str) else None,
        )


def read_id(value: object, default: Position | str) -> str | None:
    """A request's id as text, `default` where it is missing; None for a wrong type or a longer one than 256."""
    if isinstance(value, str) and len(value) <= LONGEST_ID:
        return clean(value) or str(default)
    if value is None:
        return str(default)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


_REJECTED = {reason: Rejected(reason) for reason in Reason}
