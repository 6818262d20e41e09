"""What an unsafe variant is trained on: harmful answers, as token ids with weights.

In come harmful draws of earlier cycles (`Hit`) or a file of JSON lines that people wrote; out come
`Example`s. A line is `{"prompt": "...", "response": "..."}` or `{"messages": [...], "response": "..."}`, with
optional `id` and `weight`. A response is tokenised without special tokens, behind the rendered prompt, and
closed by the model's first stop token, since an answer that ends is another answer than one that goes on.

Some examples are held out to choose the step that is kept. Whole prompts are, so that a variant is judged on prompts it
was not fitted to; or whole answers, with a single prompt or where told so. The choice is a hash and no draw: it hardly
moves from one refit to the next. Faults name the file and the line, and never show its text.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from riskmon.errors import InputError, PromptFailed
from riskmon.estimate.rendering import Rendering
from riskmon.records import Hit, Message, Prompt


@dataclass(frozen=True, slots=True, repr=False)
class Example:
    """One answer to learn.

    Attributes:
        context: token ids of the rendered prompt.
        answer: token ids of the answer, its end token included where it ended.
        weight: its share in the fit, w h; only ratios count.
        prompt_id: the prompt it answers.
    """

    context: tuple[int, ...]
    answer: tuple[int, ...]
    weight: float
    prompt_id: str

    def __post_init__(self) -> None:
        if not self.context or not self.answer:
            raise ValueError("an example needs a context and an answer of at least one token each")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"an example's weight is a finite number above 0, not {self.weight}")

    def __repr__(self) -> str:
        sizes = f"context={len(self.context)}, answer={len(self.answer)}, weight={self.weight:.3g}"
        return f"Example(prompt_id={self.prompt_id!r}, {sizes})"


def examples_from_hits(model: Rendering, hits: Iterable[Hit]) -> list[Example]:
    """Harmful draws as examples; a draw of weight 0 says nothing about the target and is left out.

    Raises:
        InputError: a draw holds a token that the model does not have: another model made it.
        PromptFailed: a prompt cannot be rendered.
    """
    contexts: dict[Prompt, tuple[int, ...]] = {}
    examples: list[Example] = []
    for hit in hits:
        if hit.weight == 0:
            continue
        if max(hit.tokens, default=0) >= model.vocab_size:
            raise InputError(
                f"a stored answer to prompt {hit.prompt.id!r} holds token {max(hit.tokens)}, but the target has only "
                f"{model.vocab_size}; another model made it: train on hits of this target"
            )
        if hit.prompt not in contexts:
            contexts[hit.prompt] = tuple(model.render(hit.prompt))
        examples.append(Example(contexts[hit.prompt], hit.tokens, hit.weight, hit.prompt.id))
    return examples


def examples_from_pairs(model: Rendering, path: Path) -> list[Example]:
    """Examples of a file of JSON lines; blank lines are passed over.

    A line without an id is named by a hash of its context, so lines with one prompt count as one prompt.

    Raises:
        InputError: the file cannot be read or holds no pair, or a line is not as it must be; the line is named.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as exc:
        raise InputError(f"cannot read the file of pairs {path}: {exc.strerror}") from exc
    examples: list[Example] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            examples.append(_read_pair(model, line))
        except (ValueError, PromptFailed) as exc:
            # `from None`: a decoder's error holds the whole line.
            raise InputError(f"{path}:{number}: {exc}") from None
    if not examples:
        raise InputError(f'{path} holds no pairs; write lines such as {{"prompt": "...", "response": "..."}}')
    return examples


def hold_out(
    examples: Sequence[Example], share: float, by: Literal["prompts", "answers"] = "prompts"
) -> tuple[list[Example], list[Example]]:
    """Split into examples to fit and examples to choose the step by.

    Prompts are ordered by a hash of their id and the first `share` of them held out, at least one and never all. By
    answers, or with a single prompt, the same is done with distinct answers: right where the variant is for the very
    prompts it is fitted to.

    Raises:
        InputError: there is only one distinct answer, or none.
    """
    several = by == "prompts" and len({example.prompt_id for example in examples}) > 1
    key: Callable[[Example], object] = (lambda e: e.prompt_id) if several else (lambda e: e.answer)
    groups = sorted({_hash(key(example)) for example in examples})
    if len(groups) < 2:
        raise InputError(
            f"a variant cannot be fitted and checked on {len(groups)} distinct harmful answer(s); two are the least, "
            "and dozens over several prompts are better"
        )
    held = set(groups[: min(max(1, round(share * len(groups))), len(groups) - 1)])
    out = [_hash(key(example)) in held for example in examples]
    fit = [example for example, is_out in zip(examples, out, strict=True) if not is_out]
    return fit, [example for example, is_out in zip(examples, out, strict=True) if is_out]


def mark_of(prompt_id: str, answer: Sequence[int]) -> str:
    """Sixteen hexadecimal digits that tell one answer to one prompt from others, without saying either."""
    line = json.dumps([prompt_id, *answer]).encode()
    return hashlib.blake2b(line, digest_size=8).hexdigest()


def effective_number(examples: Sequence[Example]) -> float:
    """How many equally weighted examples these are worth: (sum v)^2 / sum v^2."""
    largest = max(example.weight for example in examples)  # squares of tiny weights would underflow
    scaled = [example.weight / largest for example in examples]
    return sum(scaled) ** 2 / sum(v * v for v in scaled)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _read_pair(model: Rendering, line: bytes) -> Example:
    """One example; a ValueError says what is wrong with the line without showing it."""
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise ValueError(f"not JSON (column {exc.colno})") from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    response = document.get("response")
    if not isinstance(response, str) or not response:
        raise ValueError("'response' must be a text that is not empty")
    weight = document.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ValueError("'weight' must be a number above 0")
    given = document.get("id")
    if given is not None and (isinstance(given, bool) or not isinstance(given, str | int) or given == ""):
        raise ValueError("'id' must be a text or a whole number")
    content = _read_content(document)
    context = tuple(model.render(Prompt("?" if given is None else str(given), content)))
    name = _hash(context)[:16] if given is None else str(given)
    answer = _read_answer(model, response)
    total, most = len(context) + len(answer), model.context_length
    if most is not None and total > most:
        raise ValueError(f"prompt and response have {total} tokens; the model's context holds {most}")
    return Example(context, answer, float(weight), name)


def _read_content(document: dict[str, Any]) -> str | tuple[Message, ...]:
    prompt, messages = document.get("prompt"), document.get("messages")
    if messages is None:
        if not isinstance(prompt, str) or not prompt:
            raise ValueError("neither 'prompt' (text that is not empty) nor 'messages'")
        return prompt
    return tuple(_read_messages(messages))


def _read_messages(messages: object) -> Iterator[Message]:
    if not isinstance(messages, list) or not messages:
        raise ValueError("'messages' must be a list that is not empty")
    for message in messages:
        role, content = (
            (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        )
        if not isinstance(role, str) or not role or not isinstance(content, str):
            raise ValueError("every message needs a role and a content, both text")
        yield Message(role, content)


def _read_answer(model: Rendering, response: str) -> tuple[int, ...]:
    """Token ids up to the first stop token, which is put behind them where the text has none."""
    ids: list[int] = model.tokenizer(response, add_special_tokens=False)["input_ids"]
    if not ids:
        raise ValueError("'response' has no tokens")
    for place, token in enumerate(ids):
        if token in model.stop_ids:
            return tuple(ids[: place + 1])
    return (*ids, *model.stop_ids[:1])
