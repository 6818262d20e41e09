"""The deployed sampler: from a model's logits to the log-probabilities tokens are really drawn from.

Temperature, top-k, top-p and min-p are transformers' own logits processors in transformers' order, so that the
estimand is what a deployment with these settings does. Truncation leaves -inf outside the support and renormalises
inside it. Everything is computed in float32 from float32 logits, or in float64 where the network does; sums over tokens
are the caller's, in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from riskmon.config import SamplerConfig


class Sampler:
    """Turns logits into processed log-probabilities and draws from them."""

    def __init__(self, config: SamplerConfig) -> None:
        self.temperature = config.temperature
        self._truncation = LogitsProcessorList()
        if config.top_k:
            self._truncation.append(TopKLogitsWarper(top_k=config.top_k))
        if config.top_p < 1:
            self._truncation.append(TopPLogitsWarper(top_p=config.top_p))
        if config.min_p:
            self._truncation.append(MinPLogitsWarper(min_p=config.min_p))
        self._warm = TemperatureLogitsWarper(config.temperature) if config.temperature != 1 else None

    def _process(self, logits: Tensor) -> Tensor:
        """[..., V] -> [..., V], scaled and truncated, not yet normalised."""
        scores = widened(logits)
        if self._warm is not None:
            scores = scores / self.temperature
        if self._truncation:
            flat = scores.reshape(-1, scores.shape[-1])
            # None of these processors looks at the tokens so far.
            no_tokens: Any = torch.empty((len(flat), 0), dtype=torch.int64, device=flat.device)
            scores = self._truncation(no_tokens, flat).reshape(scores.shape)
        return scores

    def log_probs(self, logits: Tensor) -> Tensor:
        """Processed log-probabilities: [..., V] -> [..., V], -inf outside the sampler's support."""
        return torch.log_softmax(self._process(logits), dim=-1)

    def token_log_probs(self, logits: Tensor, tokens: Tensor) -> Tensor:
        """Processed log-probability of given tokens: [..., V], [...] -> [...].

        Cheaper than `log_probs(...).gather`: it never holds a second array of the vocabulary's width.
        """
        scores = self._process(logits)
        chosen = scores.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
        return chosen - torch.logsumexp(scores, dim=-1)


def widened(logits: Tensor) -> Tensor:
    """Logits as log-probs are computed from them: float32 at least."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def draw_tokens(log_probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one token per row by inverting the distribution function.

    One uniform per token keeps a prompt's randomness independent of the device, the batch and every other prompt.

    Args:
        log_probs: [n, V], normalised; -inf is never drawn.
        uniforms: [n] float64 in [0, 1).

    Returns:
        [n] int64 token ids.
    """
    cdf = log_probs.to(torch.float64, copy=True).exp_().cumsum(dim=-1)  # [n, V]
    # The first index whose distribution function exceeds u has positive mass. The cap keeps u * total below the
    # total after rounding, so that a trailing token without mass cannot be picked.
    level = uniforms.clamp(max=1 - 2**-32) * cdf[:, -1]
    return torch.searchsorted(cdf, level.unsqueeze(-1), right=True).squeeze(-1).clamp(max=cdf.shape[-1] - 1)
