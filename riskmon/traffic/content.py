"""What counts as a prompt: plain text, or chat messages in the shapes that gateways log.

A message is `{"role": ..., "content": ...}`; content is a string, or a list of parts of which the text parts are
joined by a newline, as OpenAI-compatible servers do for models that take text only. Content may be null where the
message carries a tool call instead. Parts without text (images, audio) add nothing.

NUL characters become U+FFFD: PostgreSQL's text cannot hold them, and one prompt must not stop a whole batch.
"""

from __future__ import annotations

from typing import Any

from riskmon.records import Message

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
    return Message(clean(role), clean(content))


def _read_part(part: Any) -> str | None:
    """Text of one part of a message's content; None where the part is of another kind."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise BadMessages
    text = part.get("text")
    if text is not None and not isinstance(text, str):
        raise BadMessages
    return text
