"""`prefix`: the target pushed into an answer that begins with a given text.

An answer that has begun to comply tends to go on complying. Two ways, with the text's token ids a_1 ... a_m, encoded
without special tokens as the beginning of an assistant's answer:

- scored: the text is part of the answer. While the answer so far equals a_1 ... a_s with s < m, the next token has
  probability share * [token = a_(s+1)] + (1 - share) * p(token); afterwards, and as soon as the answer leaves the
  text, it is the target's p. The target's support stays covered. The expert needs no forward pass of its own.
- not scored: the text is context behind the rendered prompt, and the answer goes on from there. The draws are answers
  to another context, and are scored under the target as if the text had never been said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from riskmon.config import ModelConfig, PrefixExpert
from riskmon.errors import ExpertUnusable
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.target import TargetExpert
from riskmon.estimate.rendering import Rendering
from riskmon.records import Prompt


class ForcedPrefix(TargetExpert):
    """The target, drawn along the text token by token for as long as the answer follows it."""

    derived = True

    def __init__(self, name: str, forced: Sequence[int], share: float, weights: TargetWeights) -> None:
        super().__init__(weights)
        self.name = name
        self._forced = torch.tensor(forced, dtype=torch.int64, device=weights.model.device)
        self._share = share

    def adjust(self, logits: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Log-probs of the mixture in rows that follow the text; the target's logits in all others.

        Args:
            logits: [n, V], the target's.
            tokens: [n, s] int64, the answers so far.
            lengths: [n] int64, tokens of each; None where all have s.

        Returns:
            [n, V], at least float32.
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        width = len(self._forced)
        if lengths is None:
            lengths = tokens.new_full((len(logits),), tokens.shape[1])
        begun = tokens[:, :width]
        said = torch.arange(begun.shape[1], device=begun.device) < lengths.unsqueeze(1)
        leaves = ((begun != self._forced[: begun.shape[1]]) & said).any(dim=1)
        follows = (~leaves & (lengths < width)).nonzero().squeeze(1)
        if not len(follows):
            return logits
        mixed = logits[follows].log_softmax(-1) + math.log1p(-self._share)
        forced = self._forced[lengths[follows]].unsqueeze(1)
        pushed = mixed.gather(1, forced).logaddexp(mixed.new_tensor(math.log(self._share)))
        return logits.index_copy(0, follows, mixed.scatter(1, forced, pushed))


class PrefixContext(TargetExpert):
    """The target behind an answer that somebody else began; the text is never scored."""

    def __init__(self, name: str, begun: Sequence[int], weights: TargetWeights) -> None:
        super().__init__(weights)
        self.name = name
        self._begun = list(begun)

    def context(self, prompt: Prompt) -> list[int]:
        """The prompt as deployed, then the text."""
        return super().context(prompt) + self._begun


def build_prefix(
    config: PrefixExpert, weights: TargetWeights, model: ModelConfig
) -> ForcedPrefix | PrefixContext:
    """The target under the configured beginning; see `begun_ids` for errors."""
    ids = begun_ids(config, weights.model)
    if config.scored:
        return ForcedPrefix(config.name, ids, config.share, weights)
    return PrefixContext(config.name, ids, weights)


def begun_ids(config: PrefixExpert, model: Rendering) -> list[int]:
    """Token ids of the beginning.

    Raises:
        ExpertUnusable: the text encodes to no token.
    """
    ids: list[int] = model.tokenizer(config.text, add_special_tokens=False)["input_ids"]
    if not ids:
        raise ExpertUnusable(
            f"expert {config.name!r}: its text encodes to no token of the target's tokenizer; give a text that does"
        )
    return ids
