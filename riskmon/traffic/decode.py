"""From bytes to a request: what was asked, when, and in which cell of the traffic.

In comes one `RawMessage`, out goes a `Decoded` or a `Rejected` with a stable reason. No input raises. Everything is
read, so that a message counts the same whether or not it is sampled; the `Prompt` is built only for the few that are
kept. JSON is strict (RFC 8259, by orjson): invalid UTF-8, lone surrogates and NaN are `not_json`, so no text that gets
through can fail to be encoded later.

A fact to which `fields` gives a path of its own is looked up there; the others stand where `format` says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

from riskmon.config import FieldsConfig, TrafficConfig
from riskmon.records import Position, Prompt, Stratum
from riskmon.traffic import openai_logs
from riskmon.traffic.content import BadMessages, Content, clean, read_content, read_tools
from riskmon.traffic.duplicates import Duplicates
from riskmon.traffic.paths import Lookup, compile_path
from riskmon.traffic.source import RawMessage
from riskmon.traffic.strata import Labels
from riskmon.traffic.timestamps import CERTAIN_FROM, CERTAIN_TO, parse_timestamp
from riskmon.traffic.turns import add_last_user, names_last_user, split_answer

LONGEST_ID = 256

_OPENAI: dict[str, Lookup] = {
    "id": openai_logs.find_id,
    "prompt": openai_logs.find_prompt,
    "messages": openai_logs.find_messages,
    "tools": openai_logs.find_tools,
    "timestamp": openai_logs.find_timestamp,
    "response": openai_logs.find_response,
}


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
    TOO_OLD = "too_old"
    TOO_NEW = "too_new"
    DUPLICATE = "duplicate"
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
        tools: what the request tells of tools, as JSON text.
    """

    id: str
    content: Content = field(repr=False)
    label_values: tuple[str, ...]
    requested_at: datetime
    position: Position
    response: str | None = field(repr=False)
    tools: str | None = field(default=None, repr=False)

    def prompt(self, stratum: Stratum) -> Prompt:
        """The request as a prompt of the stratum it is counted in."""
        return Prompt(self.id, self.content, stratum, self.position, self.response, self.tools)


class Decoder:
    """Decodes messages by the configured format and field paths; remembers what it has seen, to know it again.

    Args:
        config: format, field paths, strata and limits.
        any_age: let requests of any time through, for reading what is past on purpose.
    """

    def __init__(self, config: TrafficConfig, *, any_age: bool = False) -> None:
        self.labels = Labels(config.strata)
        self._max_bytes = config.max_message_bytes
        self._opens_bodies = config.format == "openai"
        self._id = _lookup(config, "id")
        self._prompt = _lookup(config, "prompt")
        self._messages = _lookup(config, "messages")
        self._tools = _lookup(config, "tools")
        self._timestamp = _lookup(config, "timestamp")
        self._response = _lookup(config, "response")
        self._wants_last_user = names_last_user(config.strata)
        self.duplicates = Duplicates(config.duplicates.remember)
        self._max_age = None if any_age else config.max_age
        self._max_ahead = None if any_age else config.max_ahead
        self._now = self._oldest = self._newest = _NEVER

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
        if self._opens_bodies:
            openai_logs.open_bodies(document)
        messages, tools = self._messages(document), self._tools(document)
        try:
            content = read_content(self._prompt(document), messages)
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
        if now is not self._now:
            self._set_clock(now)
        if not self._oldest <= requested_at <= self._newest:
            return _REJECTED[Reason.TOO_OLD if requested_at < self._oldest else Reason.TOO_NEW]

        given_id = self._id(document)
        prompt_id = read_id(given_id, default=message.position)
        if prompt_id is None:
            return _REJECTED[Reason.BAD_ID]
        if given_id and message.value and self.duplicates.repeats(message.value, message.position.offset):
            return _REJECTED[Reason.DUPLICATE]

        response = self._response(document)
        answer = clean(response) if isinstance(response, str) else None
        if messages:
            content, answer = split_answer(content, answer)
        if self._wants_last_user:
            add_last_user(document, messages)
        return Decoded(
            prompt_id,
            content,
            self.labels.values(document),
            requested_at,
            message.position,
            answer,
            read_tools(tools) if tools else None,
        )

    def accepted_times(self, now: datetime) -> tuple[datetime, datetime]:
        """The times (aware UTC) between which every request passes, however its time is written."""
        if now is not self._now:
            self._set_clock(now)
        return max(self._oldest, CERTAIN_FROM), min(self._newest, CERTAIN_TO)

    def _set_clock(self, now: datetime) -> None:
        self._now = now
        self._oldest = _NEVER if self._max_age is None else now - min(self._max_age, now - _NEVER)
        self._newest = _FOREVER if self._max_ahead is None else now + min(self._max_ahead, _FOREVER - now)


def _lookup(config: TrafficConfig, name: str) -> Lookup:
    """Where a fact stands: at a path of the user's own, else where the format has it.

    The reference file spells out every default, so a default that is written down is no path of the user's own.
    """
    path: str = getattr(config.fields, name)
    if config.format == "openai" and path == FieldsConfig.model_fields[name].default:
        return _OPENAI[name]
    return compile_path(path)


def read_id(value: object, default: Position | str) -> str | None:
    """A request's id as text, `default` where it is missing; None for a wrong type or a longer one than 256."""
    if isinstance(value, str) and len(value) <= LONGEST_ID:
        return clean(value) or str(default)
    if value is None:
        return str(default)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


# Wider than what a timestamp may say.
_NEVER, _FOREVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_REJECTED = {reason: Rejected(reason) for reason in Reason}
