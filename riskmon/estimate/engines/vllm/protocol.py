"""What is asked of a vLLM server, and how its answers are read. Token ids go in and come out, never text.

Drawing: `n` answers to one context, child i of them with the seed s + i. The sampler is plain, and every setting is
spelled out, since a server takes what is left out from the model's own generation settings. Stops are those given
here and not the server's (`ignore_eos`); the token that ends an answer is part of it, with its log-prob.

Scoring: context and answer are one prompt whose log-probs are asked for (`prompt_logprobs: 0` is each token's own). A
server makes one token at least; it is thrown away.

Log-probs are those of the network's logits. A server writes -9999 for minus infinity, since JSON has no word for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from riskmon.errors import WorkerLost

_FLOOR = -9000.0

_PLAIN = {
    "temperature": 1.0,
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    # A server may be set up to mark its answers, which changes what is drawn.
    "watermarking": False,
}


@dataclass(frozen=True, slots=True)
class Drawing:
    """Answers asked for: `n` to one context, of at most `max_tokens` tokens.

    Attributes:
        model: name the server knows. seed: of the first; the next ones count up.
    """

    model: str
    context: Sequence[int]
    n: int
    seed: int
    max_tokens: int

    def body(self, stop_ids: Sequence[int], *, likeliest: bool = False) -> dict[str, Any]:
        """The request; `likeliest` asks for the log-prob of the likeliest token at each step as well."""
        return {
            "model": self.model,
            "prompt": list(self.context),
            "n": self.n,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
            "stop_token_ids": list(stop_ids),
            "ignore_eos": True,
            "logprobs": int(likeliest),
            "return_token_ids": True,
            **_PLAIN,
        }


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer, or a piece of one.

    Attributes:
        tokens: with the one that ends it. log_probs: of each.
    """

    tokens: list[int]
    log_probs: list[float]


def read_drawn(choices: Sequence[dict[str, Any]], asked: Drawing, stop_ids: Sequence[int]) -> list[Drawn]:
    """The answers in the order of their seeds.

    Raises:
        WorkerLost: the answer has another shape, or a piece ends neither with a stop nor at the cap.
    """
    try:
        ordered = sorted(choices, key=lambda choice: int(choice["index"]))
        drawn = [
            Drawn(list(choice["token_ids"]), [_log_prob(v) for v in choice["logprobs"]["token_logprobs"]])
            for choice in ordered
        ]
    except (LookupError, TypeError, ValueError):
        raise WorkerLost(
            "the vLLM server answers without token ids or log-probs; riskmon needs one that knows return_token_ids "
            "and logprobs, such as vLLM 0.32"
        ) from None
    whole = all(_is_whole(piece, asked.max_tokens, stop_ids) for piece in drawn)
    if len(drawn) != asked.n or not whole:
        raise WorkerLost("the vLLM server cuts answers short, or gives fewer than were asked for")
    return drawn


def read_likeliest(choices: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Log-probs of the drawn and of the likeliest token at every step of all answers.

    Raises:
        WorkerLost: the answer has another shape.
    """
    try:
        return [
            (_log_prob(own), max(map(_log_prob, (own, *told.values()))))
            for choice in choices
            for own, told in zip(
                choice["logprobs"]["token_logprobs"], choice["logprobs"]["top_logprobs"], strict=True
            )
        ]
    except (LookupError, TypeError, ValueError, AttributeError):
        raise WorkerLost("the vLLM server answers without the log-probs of the likeliest tokens") from None


def scoring_body(model: str, context: Sequence[int], answer: Sequence[int]) -> dict[str, Any]:
    """The request for log-probs of an answer behind a context."""
    return {
        "model": model,
        "prompt": [*context, *answer],
        "max_tokens": 1,
        "prompt_logprobs": 0,
        **_PLAIN,
        "temperature": 0.0,  # of the token that is thrown away
    }


def read_scores(
    choices: Sequence[dict[str, Any]], context: Sequence[int], answer: Sequence[int]
) -> list[float]:
    """Log-probs of the answer's tokens.

    Raises:
        WorkerLost: the answer has another shape.
    """
    try:
        found = choices[0]["prompt_logprobs"][len(context) :]
        scores = [_log_prob(place[str(token)]["logprob"]) for place, token in zip(found, answer, strict=True)]
    except (LookupError, TypeError, ValueError):
        raise WorkerLost(
            "the vLLM server answers without the log-probs of the prompt; riskmon needs one that knows prompt_logprobs"
        ) from None
    return scores


def text_body(model: str, text: str) -> dict[str, Any]:
    """The request for the token ids of a text that holds nothing of anybody's."""
    return {
        "model": model,
        "prompt": text,
        "max_tokens": 1,
        "add_special_tokens": False,
        "return_token_ids": True,
        **_PLAIN,
    }


def _is_whole(piece: Drawn, most: int, stop_ids: Sequence[int]) -> bool:
    if len(piece.tokens) != len(piece.log_probs) or not piece.tokens:
        return False
    stopped = [token in stop_ids for token in piece.tokens]
    return not any(stopped[:-1]) and (stopped[-1] or len(piece.tokens) == most)


def _log_prob(value: float | None) -> float:
    """As JSON has it; nothing is NaN, which the engine finds."""
    if value is None:
        return math.nan
    return -math.inf if value <= _FLOOR else float(value)
