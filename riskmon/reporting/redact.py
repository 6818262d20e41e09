"""Excerpts of production text, redacted: cut, digits and e-mail addresses masked, invisible characters taken out.

This lowers what a reader learns by accident. It does not make text anonymous: names, places and what a person wrote
about themselves stay. So excerpts are off unless `report.excerpt_characters` is set.
"""

from __future__ import annotations

import re
import unicodedata

from riskmon.records import Prompt

_ADDRESS = re.compile(r"\S*@\S*")
# Longer than any address: a text that is cut here first cannot have lost the part that shows it is one.
_MARGIN = 1_000


def excerpt(prompt: Prompt, characters: int) -> str:
    """The beginning of a prompt, redacted; of a chat its last message of the user, or its last one.

    Args:
        characters: longest result, at least 1; a cut is shown by an ellipsis that counts.
    """
    return redact(_spoken(prompt), characters)


def redact(text: str, characters: int) -> str:
    """Any text, redacted; see the module."""
    plain = " ".join("".join(map(_visible, text[: characters + _MARGIN])).split())
    masked = re.sub(r"\d", "#", _ADDRESS.sub("[e-mail]", plain))
    if len(masked) <= characters and len(text) <= characters + _MARGIN:
        return masked
    return masked[: characters - 1].rstrip() + "…"


def _visible(character: str) -> str:
    """Control and format characters could hide or reorder text: spaces in their place."""
    kind = unicodedata.category(character)
    # The joiner of emoji is a format character that shows.
    if character == "\u200d":
        return character
    if kind == "Cs":
        return "\ufffd"
    return " " if kind in {"Cc", "Cf", "Zl", "Zp"} else character


def _spoken(prompt: Prompt) -> str:
    if isinstance(prompt.content, str):
        return prompt.content
    said = [message.content for message in prompt.content if message.role == "user"]
    return (said or [message.content for message in prompt.content] or [""])[-1]
