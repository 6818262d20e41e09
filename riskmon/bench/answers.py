"""Every answer of a tiny model, with its exact log-probability: from there, exact truths are sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from riskmon.bench.tiny import END, PROMPT, prompt_ids

STEPS = 5

# Answers scored in one forward pass.
_AT_ONCE = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Every answer of a model to a prompt.

    Attributes:
        tokens: [N, T] int64; behind an answer's end only END.
        lengths: [N] int64, tokens of each answer, its end included where there is one.
        log_probs: [N] float64, exact; their exponentials sum to 1.
    """

    tokens: Tensor
    lengths: Tensor
    log_probs: Tensor

    def holding(self, pattern: Sequence[int]) -> Tensor:
        """[N] bool, whether an answer holds these words in a row."""
        wanted = torch.tensor(list(pattern))
        return (self.tokens.unfold(1, len(pattern), 1) == wanted).all(-1).any(-1)

    def mass(self, chosen: Tensor) -> float:
        """Exact probability of the chosen answers, [N] bool."""
        return float(self.log_probs[chosen].exp().sum())


@torch.inference_mode()
def enumerate_answers(model: LlamaForCausalLM, prompt: str = PROMPT, steps: int = STEPS) -> Answers:
    """Every answer of at most `steps` tokens with its exact log-probability under temperature 1.

    Scored by full forward passes without any cache, so nothing is shared with the code that is measured.
    """
    ids = prompt_ids(prompt)
    tokens: list[Tensor] = []
    lengths: list[Tensor] = []
    log_probs: list[Tensor] = []
    prefixes = torch.zeros((1, steps), dtype=torch.int64)
    so_far = torch.zeros(1, dtype=torch.float64)
    for step in range(steps):
        rows = torch.cat([ids.expand(len(prefixes), -1), prefixes[:, :step]], dim=1)
        nexts = torch.cat(
            [model(chunk).logits[:, -1].double().log_softmax(-1) for chunk in torch.split(rows, _AT_ONCE)]
        )
        total = so_far[:, None] + nexts  # [prefixes, V]
        ended = torch.full((len(prefixes),), step + 1)
        tokens.append(prefixes)
        lengths.append(ended)
        log_probs.append(total[:, END])
        words = torch.arange(1, total.shape[1])
        prefixes = prefixes.repeat_interleave(len(words), 0)
        prefixes[:, step] = words.repeat(len(ended))
        so_far = total[:, 1:].reshape(-1)
    tokens.append(prefixes)
    lengths.append(torch.full((len(prefixes),), steps))
    log_probs.append(so_far)
    return Answers(torch.cat(tokens), torch.cat(lengths), torch.cat(log_probs))
