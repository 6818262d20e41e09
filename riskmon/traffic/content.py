"""What counts as a prompt: plain text, or chat messages in the shapes that gateways log.

A message is `{"role": ..., "content": ...}`; content is a string, or a list of parts of which the text parts are
joined by a newline, as OpenAI-compatible servers do for models that take text only. Content may be null where the
message carries a tool call instead. Parts without text (images, audio) add nothing.

Tool calls, the id that a tool's answer refers to, and names are kept, since a chat template renders them. The older
`function_call` becomes the tool call that it stands for. What a template would not look at is dropped.

NUL characters become U+FFFD: PostgreSQL's text cannot hold them, and one prompt must not stop a whole batch.
"""

from __future__ import annotations

from typing import Any

import orjson

from riskmon.records import Message

UNWRITABLE = "[null]"
"""Tools or calls nested too deeply to be kept: no reason to reject a request, but a template that looks refuses."""

Content = str | tuple[Message, ...]


class BadMessages(ValueError):
    """Chat messages of a wrong type or of an unknown shape."""


def read_content(prompt: object, messages: object) -> Content | None:
    """Content of a request; None where there is neither text nor a message.

    Messages win over the text, which beside them is their rendering and would be rendered twice.

    Raises:
        BadMessages: there are messages, but they cannot be read.
    """
    if messages:
        if not isinstance(messages, list):
            raise BadMessages
        return tuple([_read_message(message) for message in messages])
    return clean(prompt) if isinstance(prompt, str) and prompt else None


def read_tools(tools: object) -> str | None:
    """The tools that a request offers the model, as JSON text; None where it offers none."""
    return _to_json(tools) if isinstance(tools, list) and tools else None


def clean(text: str) -> str:
    """The text without NUL characters."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _read_message(message: Any) -> Message:
    if not isinstance(message, dict):
        raise BadMessages
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise BadMessages
    if isinstance(content, list):
        content = "\n".join([text for part in content if (text := _read_part(part)) is not None])
    elif content is None and ("tool_calls" in message or "function_call" in message):
        content = ""
    if not isinstance(content, str):
        raise BadMessages
    if len(message) == 2:  # the usual message, by far
        return Message(clean(role), clean(content))
    return Message(
        clean(role),
        clean(content),
        _text(message.get("name")),
        _text(message.get("tool_call_id")),
        _read_calls(message),
    )


def _read_part(part: Any) -> str | None:
    """Text of one part of a message's content; None where the part is of another kind."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise BadMessages
    text = part.get("text")
    if text is None and part.get("type") == "refusal":
        text = part.get("refusal")
    if text is not None and not isinstance(text, str):
        raise BadMessages
    return text


def _read_calls(message: dict[str, Any]) -> str | None:
    calls, older = message.get("tool_calls"), message.get("function_call")
    if not calls and isinstance(older, dict):
        calls = [{"type": "function", "function": older}]
    return _to_json(calls) if isinstance(calls, list) and calls else None


def _text(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None


def _to_json(value: object) -> str:
    """JSON in the order of the message, since a template may print it as it stands."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return UNWRITABLE  # it can be read four times as deep as it can be written
