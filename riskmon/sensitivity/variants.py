"""Rewordings of a prompt that keep its meaning.

Only the last user turn is reworded; a plain text is that turn. The kinds take turns, so that any number of rewordings
holds all of them; a kind that has run dry leaves its turns to the others. Which ones come out depends on the seed and
the prompt alone: equal ids and texts give equal rewordings, and no text comes twice or is the prompt's own.

A rewording is a prompt of its own, `<id>~<kind>-<k>` with k from 1, in the same stratum and at the same position; the
deployed model's response belongs to the original only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from riskmon.config.sensitivity import RewordingKind, SensitivityConfig
from riskmon.records import Prompt
from riskmon.sensitivity.politeness import Wrappers
from riskmon.sensitivity.surface import case_rewordings, spacing_rewordings
from riskmon.sensitivity.typos import typo_rewordings


@dataclass(frozen=True, slots=True)
class Variant:
    """A rewording, and what was changed."""

    prompt: Prompt
    kind: RewordingKind


def make_variants(
    prompt: Prompt,
    settings: SensitivityConfig,
    wrappers: Wrappers,
    seed: int,
    paraphrases: Sequence[str] = (),
) -> list[Variant]:
    """Up to `settings.variants` rewordings; none where the prompt has no user turn with text.

    Args:
        wrappers: of politeness.
        seed: root of the typos and of the order of wrappers.
        paraphrases: of the last user turn, checked already.
    """
    text = last_user_turn(prompt)
    if text is None:
        return []
    sources: dict[RewordingKind, Iterator[str]] = {
        "case": case_rewordings(text),
        "spacing": spacing_rewordings(text),
        "typos": typo_rewordings(text, settings.typo_share, _stream(seed, prompt, "typos")),
        "politeness": _shuffled(wrappers.wrapped(text), _stream(seed, prompt, "politeness")),
        "paraphrase": iter(paraphrases),
    }
    waiting = {kind: sources[kind] for kind in settings.active_kinds}
    return list(_in_turn(prompt, text, waiting, settings.variants))


def last_user_turn(prompt: Prompt) -> str | None:
    """Text of the last user turn; None where there is none, or nothing in it."""
    if isinstance(prompt.content, str):
        return prompt.content if prompt.content.strip() else None
    turns = (message.content for message in reversed(prompt.content) if message.role == "user")
    text = next(turns, "")
    return text if text.strip() else None


def with_last_user_turn(prompt: Prompt, text: str, prompt_id: str) -> Prompt:
    """The prompt under another id, with another last user turn and without a response."""
    if isinstance(prompt.content, str):
        return replace(prompt, id=prompt_id, content=text, response=None)
    messages = list(prompt.content)
    place = max(i for i, message in enumerate(messages) if message.role == "user")
    messages[place] = replace(messages[place], content=text)
    return replace(prompt, id=prompt_id, content=tuple(messages), response=None)


def _in_turn(
    prompt: Prompt, text: str, waiting: dict[RewordingKind, Iterator[str]], most: int
) -> Iterator[Variant]:
    """One of each kind after the other until there are enough, or no kind has a further one."""
    made = {text}
    counts = dict.fromkeys(waiting, 0)
    while waiting:
        for kind in tuple(waiting):
            fresh = next((other for other in waiting[kind] if other not in made), None)
            if fresh is None:
                del waiting[kind]
                continue
            made.add(fresh)
            counts[kind] += 1
            yield Variant(with_last_user_turn(prompt, fresh, f"{prompt.id}~{kind}-{counts[kind]}"), kind)
            if len(made) > most:
                return


def _stream(seed: int, prompt: Prompt, use: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{use}/{prompt.stream_key}".encode("utf-8", "surrogatepass"), digest_size=16)
    return np.random.default_rng([seed, *np.frombuffer(digest.digest(), dtype=np.uint32).tolist()])


def _shuffled(texts: Iterable[str], rng: np.random.Generator) -> Iterator[str]:
    ordered = list(texts)
    return (ordered[place] for place in rng.permutation(len(ordered)))
