"""Experts: ways of producing next-token log-probabilities over the target's vocabulary.

Expert 0 is always the target itself. The others are unsafe variants of it, one file per kind, registered in
`BUILDERS`; an expert is a context (token ids the answer is conditioned on), a network in force, and what is done to its
logits. An expert that only changes the target's logits is `derived`: it costs no forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from riskmon.config import ExpertConfig, ModelConfig
from riskmon.estimate.experts.base import Expert, TargetWeights
from riskmon.estimate.experts.checkpoint import build_checkpoint
from riskmon.estimate.experts.lora import build_lora
from riskmon.estimate.experts.prefix import build_prefix
from riskmon.estimate.experts.steering import build_steering
from riskmon.estimate.experts.system_prompt import build_system_prompt
from riskmon.estimate.experts.target import TargetExpert
from riskmon.estimate.experts.temperature import build_temperature
from riskmon.estimate.model import LanguageModel

Builder = Callable[[Any, TargetWeights, ModelConfig], Expert]

BUILDERS: dict[str, Builder] = {
    "lora": build_lora,
    "checkpoint": build_checkpoint,
    "system_prompt": build_system_prompt,
    "prefix": build_prefix,
    "steering": build_steering,
    "temperature": build_temperature,
}


def build_experts(
    configs: Sequence[ExpertConfig], target: LanguageModel, model: ModelConfig
) -> tuple[Expert, ...]:
    """The target as expert 0, then every configured expert.

    Raises:
        ModelUnavailable: an adapter, checkpoint or direction does not load.
        ExpertUnusable: an expert does not fit the target: another vocabulary, other shapes, a text without tokens.
    """
    weights = TargetWeights(target)
    return (TargetExpert(weights), *(BUILDERS[config.kind](config, weights, model) for config in configs))


__all__ = ["BUILDERS", "Builder", "Expert", "build_experts"]
