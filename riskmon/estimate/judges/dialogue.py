"""A prompt and its answer as a judge reads them: one text, or alternating turns.

Judges are asked in two ways. A template with a place for "the prompt" gets one text: a single user message as it
stands, a longer conversation as lines of `role: text`. A judge with a chat template of its own gets turns. Such
templates insist on user and assistant in alternation, so system messages join the user turn that follows them, and
neighbours of one role become one turn.

Both hold text that strangers wrote. Where it spells out a control token of the judge (`<|im_end|>`), a tokenizer would
take it for one, and a prompt could write the judge's verdict. `Plain` breaks such spellings with a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from riskmon.records import Message, Prompt

_GAP = "\n\n"


def clean(text: str) -> str:
    """The text with lone surrogates replaced; tokenizers and JSON refuse them, and production prompts hold some."""
    return text.encode("utf-8", "replace").decode()


class Plain:
    """Text in which a judge finds nothing but text.

    Args:
        control_tokens: what its tokenizer reads as more than text.
    """

    def __init__(self, control_tokens: Iterable[str]) -> None:
        # Longest first: one token may begin another.
        spelled = sorted((token for token in control_tokens if len(token) > 1), key=len, reverse=True)
        self._spelled = re.compile("|".join(map(re.escape, spelled))) if spelled else None

    def text(self, text: str) -> str:
        """The text with every spelled-out control token broken by a space behind its first character."""
        if self._spelled is None:
            return clean(text)
        return self._spelled.sub(lambda match: f"{match[0][0]} {match[0][1:]}", clean(text))

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with all its texts so treated."""
        if isinstance(prompt.content, str):
            return replace(prompt, content=self.text(prompt.content))
        return replace(prompt, content=tuple(self._message(message) for message in prompt.content))

    def _message(self, message: Message) -> Message:
        calls = None if message.tool_calls is None else self.text(message.tool_calls)
        return replace(message, content=self.text(message.content), tool_calls=calls)


def flatten(prompt: Prompt) -> str:
    """The prompt as one text."""
    if isinstance(prompt.content, str):
        return clean(prompt.content)
    messages = prompt.content
    if len(messages) == 1 and messages[0].role == "user":
        return clean(messages[0].content)
    return "\n".join(f"{message.role}: {clean(_said(message))}" for message in messages)


def turns(prompt: Prompt, output: str) -> list[dict[str, str]]:
    """The conversation as alternating user and assistant turns that ends with the answer.

    Any role but `assistant` counts as the user's side: system, tool and developer messages are part of what the
    model was asked.
    """
    if isinstance(prompt.content, str):
        pairs = [("user", prompt.content)]
    else:
        pairs = [
            ("assistant" if message.role == "assistant" else "user", _said(message))
            for message in prompt.content
        ]
    if not pairs or pairs[0][0] != "user":
        pairs.insert(0, ("user", ""))
    merged: list[dict[str, str]] = []
    for role, text in [*pairs, ("assistant", output)]:
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += _GAP + clean(text)
        else:
            merged.append({"role": role, "content": clean(text)})
    return merged


def _said(message: Message) -> str:
    """What a turn says, the calls of tools behind its text: a judge should see what the answer follows from."""
    return "\n".join(part for part in (message.content, message.tool_calls) if part)
