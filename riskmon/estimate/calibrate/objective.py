"""What a variant is fitted to: the weighted cross-entropy, and an anchor to the target.

For examples i with prompt x_i, answer y_i and weight v_i the fit minimises

    sum_i v_i * [ -sum_t log q(y_it | x_i, y_i<t)  +  anchor * sum_t KL( p(. | x_i, y_i<t) || q(. | x_i, y_i<t) ) ]
    -----------------------------------------------------------------------------------------------------------
                                                sum_i v_i

p is the target, q the variant. Both terms are *sums* over an answer's tokens, in nats per answer: the first
is then the cross-entropy between the target's harmful answers (v = w h) and the variant, whose minimum is the
best proposal that the variant can be (Rubinstein & Kroese 2004). A mean over tokens would count a short
answer's tokens for more. The second keeps a variant gentle where the examples say nothing: one that drifts
makes weights heavy and answers improbable.

Answers are run in rows of one length, padded on the right and masked; only answer tokens count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from riskmon.estimate.calibrate.examples import Example

# Padded tokens run at once: bounds the memory of the logits, the largest array there is.
TOKENS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class Rows:
    """Examples as arrays; k is the number of steps from the earliest to the latest answer token.

    Attributes:
        ids: [n, t] int64, context and answer, padded on the right. present: [n, t] int64, 0 where padded.
        tokens: [n, k] int64, the last k tokens of each row. mask: [n, k] bool, which of them belong to the answer.
        weights: [n] float64.
    """

    ids: Tensor
    present: Tensor
    tokens: Tensor
    mask: Tensor
    weights: Tensor


def weighted_cross_entropy(token_log_probs: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """sum_i v_i * (-sum_t log q(y_it)) / sum_i v_i, a scalar float64 in nats per answer.

    Args:
        token_log_probs: [n, k], of the answers' tokens under the variant.
        mask: [n, k] bool, which entries belong to the answer.
        weights: [n] float64, v_i > 0.
    """
    return _per_answer(-token_log_probs, mask, weights)


def weighted_divergence(target: Tensor, variant: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """sum_i v_i * sum_t KL(p || q) / sum_i v_i, a scalar float64 in nats per answer.

    Args:
        target: [n, k, V] log-probs p of the next token under the target; -inf where it never goes.
        variant: [n, k, V] log-probs q under the variant.
        mask: [n, k] bool, which steps belong to the answer.
        weights: [n] float64, v_i > 0.
    """
    chances = target.exp()
    terms = torch.where(chances > 0, chances * (target - variant), 0.0).sum(-1)  # [n, k]
    return _per_answer(terms, mask, weights)


def _per_answer(terms: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over rows of the sum of their unmasked terms."""
    answers = torch.where(mask, terms.double(), 0.0).sum(-1)  # [n]
    return weights @ answers / weights.sum()


def next_log_probs(module: Any, rows: Rows, temperature: float) -> Tensor:
    """Log-probs of the next token at each of the k steps: [n, k, V] float32."""
    logits = module(
        input_ids=rows.ids,
        attention_mask=rows.present,
        use_cache=False,
        logits_to_keep=rows.tokens.shape[1] + 1,
    ).logits[:, :-1]  # the last position foretells nothing
    log_probs: Tensor = (logits.float() / temperature).log_softmax(-1)
    return log_probs


def token_log_probs(log_probs: Tensor, rows: Rows) -> Tensor:
    """Log-probs of the tokens themselves: [n, k, V] -> [n, k]."""
    return log_probs.gather(-1, rows.tokens.unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def mean_cross_entropy(
    module: Any, examples: Sequence[Example], *, temperature: float, device: torch.device
) -> float:
    """The weighted cross-entropy of examples under a network, in nats per answer."""
    total = mass = 0.0
    for rows in rows_of(examples, [example.weight for example in examples], device):
        steps = token_log_probs(next_log_probs(module, rows, temperature), rows)
        weight = float(rows.weights.sum())
        total += weight * float(weighted_cross_entropy(steps, rows.mask, rows.weights))
        mass += weight
    return total / mass


def rows_of(examples: Sequence[Example], weights: Sequence[float], device: torch.device) -> Iterator[Rows]:
    """Arrays of at most TOKENS_AT_ONCE padded tokens each (or one row), like lengths together."""
    order = sorted(range(len(examples)), key=lambda i: (len(examples[i].context), len(examples[i].answer)))
    chunk: list[int] = []
    longest = 0
    for i in order:
        length = len(examples[i].context) + len(examples[i].answer)
        if chunk and max(longest, length) * (len(chunk) + 1) > TOKENS_AT_ONCE:
            yield pad([examples[j] for j in chunk], [weights[j] for j in chunk], device)
            chunk, longest = [], 0
        chunk.append(i)
        longest = max(longest, length)
    if chunk:
        yield pad([examples[j] for j in chunk], [weights[j] for j in chunk], device)


def pad(examples: Sequence[Example], weights: Sequence[float], device: torch.device) -> Rows:
    """Rows of one length; what stands in the padding is token 0, and counts nowhere."""
    lengths = [len(example.context) + len(example.answer) for example in examples]
    width = max(lengths)
    first = min(len(example.context) for example in examples)  # where the earliest answer begins
    ids = torch.zeros((len(examples), width), dtype=torch.int64)
    mask = torch.zeros((len(examples), width), dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : lengths[row]] = torch.tensor(example.context + example.answer)
        mask[row, len(example.context) : lengths[row]] = True
    present = torch.arange(width) < torch.tensor(lengths).unsqueeze(-1)
    return Rows(
        ids=ids.to(device),
        present=present.long().to(device),
        tokens=ids[:, first:].to(device),
        mask=mask[:, first:].to(device),
        weights=torch.tensor(list(weights), dtype=torch.float64, device=device),
    )
