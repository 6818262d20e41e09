"""Turns of a conversation: which one is estimated, and which one the request is about.

What riskmon estimates is the next assistant turn. A logged conversation that ends with an assistant turn is a finished
one: that turn is the answer, and the prompt is all before it. Where the message carries an answer of its own that says
something else, the last assistant turn is the beginning that the caller gave the model, and stays part of the prompt.

A stratum is that of the request, and so of its last user turn. Labels that stand in that turn are found under the name
`last_user`, as in `last_user.metadata.route`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from riskmon.traffic.content import Content

LAST_USER = "last_user"


def split_answer(content: Content, response: str | None) -> tuple[Content, str | None]:
    """The prompt, and the answer to it; None where none was logged or where it is a call of tools without text."""
    if isinstance(content, str) or len(content) < 2:
        return content, response
    last = content[-1]
    if last.role != "assistant" or response not in {None, last.content}:
        return content, response
    return content[:-1], None if last.tool_calls and not last.content else last.content


def names_last_user(paths: Iterable[str]) -> bool:
    """Whether a path asks for something in the last user turn."""
    return any(re.search(rf"\b{LAST_USER}\b", path) for path in paths)


def add_last_user(document: dict[str, Any], messages: object) -> None:
    """Put the last user turn, as it was sent, into the document under its name; nothing where there is none."""
    document[LAST_USER] = None
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            document[LAST_USER] = message
            return
