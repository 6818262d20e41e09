"""Lanes: the target and the experts' networks, kept in step over the same rows.

All rows of a batch have drawn equally many tokens. A lane is one network in its own context with a KV cache for these
rows; the lanes together give, at every step, the logits from which any voice is made. A lane is opened at the first
step where a proposal needs its expert (the tokens so far are run behind its prefix in one pass) and closed after the
last one, so a short window costs few forward passes. Experts that are derived from the target's logits have no lane.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from riskmon.estimate.experts import Expert
from riskmon.estimate.prefix import Prefix, extend
from riskmon.estimate.proposals import Voice


@dataclass(eq=False)
class _Lane:
    cache: DynamicCache
    logits: Tensor  # [m, V], of the token to draw next


class Lanes:
    """The networks behind a batch of m rows."""

    def __init__(
        self,
        experts: Sequence[Expert],
        prefixes: dict[int, Prefix],
        spans: dict[int, range],
        rows: int,
    ) -> None:
        """Open the lanes that the first step needs.

        Args:
            experts: all experts. prefixes: of every expert in `spans`.
            spans: steps at which each expert's network is needed.
            rows: number of rows m.
        """
        self._experts = experts
        self._prefixes = prefixes
        self._spans = spans
        self._lanes: dict[int, _Lane] = {}
        self.work = 0  # tokens pushed through any network
        for expert, span in spans.items():
            if 0 in span:
                prefix = prefixes[expert]
                self._lanes[expert] = _Lane(prefix.spread(rows, span.stop), prefix.logits.expand(rows, -1))

    def keep(self, stays: Tensor) -> None:
        """Drop the rows where `stays` [m] is False."""
        chosen = stays.nonzero().squeeze(1)
        for lane in self._lanes.values():
            lane.cache.batch_select_indices(chosen)

    def advance(self, tokens: Tensor) -> None:
        """Bring every lane to the next step.

        Args:
            tokens: [m, s] int64, all tokens so far of the rows that are left.
        """
        rows, step = tokens.shape
        for expert in list(self._lanes):
            if step not in self._spans[expert]:
                del self._lanes[expert]
        for expert, span in self._spans.items():
            if step not in span:
                continue
            lane = self._lanes.get(expert)
            if lane is None:
                cache, fresh, start = self._prefixes[expert].spread(rows, span.stop), tokens, 0
            else:
                cache, fresh, start = lane.cache, tokens[:, -1:], step - 1
            with self._experts[expert].active() as module:
                self.work += fresh.numel()
                logits = extend(module, cache, fresh, self._prefixes[expert].length + start)[:, -1]
            self._lanes[expert] = _Lane(cache, logits)

    def logits(self, voice: Voice, tokens: Tensor, rows: Tensor | slice) -> Tensor:
        """Logits of the next token under a voice, for some of the rows: [r, V].

        Args:
            voice: its expert's lane must be open, if it has one.
            tokens: [m, s] int64, the answers so far.
            rows: which of the m rows.
        """
        own = {
            expert: lane.logits[rows] for expert, lane in self._lanes.items() if expert in (0, voice.expert)
        }
        return voice_logits(self._experts, voice, own, tokens[rows])


def voice_logits(
    experts: Sequence[Expert], voice: Voice, network_logits: dict[int, Tensor], tokens: Tensor
) -> Tensor:
    """Logits of the next token under a voice, [n, V].

    Args:
        network_logits: [n, V] per expert index, of the target and of the voice's expert unless it is derived.
        tokens: [n, s] int64, the answers so far.
    """
    target = network_logits[0]
    if voice.expert == 0:
        return target
    expert = experts[voice.expert]
    own = expert.adjust(target if expert.derived else network_logits[voice.expert], tokens)
    if voice.strength == 1:
        return own
    return torch.lerp(target.float(), own.float(), voice.strength)
