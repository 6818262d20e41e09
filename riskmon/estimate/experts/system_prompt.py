"""`system_prompt`: the target under an unsafe context; its weights are the target's own."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from riskmon.config import ModelConfig, SystemPromptExpert
from riskmon.estimate.experts.base import TARGET_NETWORK, NetworkExpert, TargetWeights
from riskmon.records import Prompt


class SystemPrompt(NetworkExpert):
    """The target told to be someone else; the text is part of the context and is never scored."""

    network = TARGET_NETWORK

    def __init__(self, name: str, text: str, weights: TargetWeights) -> None:
        self.name = name
        self._text = text
        self._weights = weights

    def context(self, prompt: Prompt) -> list[int]:
        """The prompt behind the system message."""
        return self._weights.model.render(prompt, system=self._text)

    def active(self) -> AbstractContextManager[nn.Module]:
        """The target without any adapter."""
        return self._weights.active(None)


def build_system_prompt(
    config: SystemPromptExpert, weights: TargetWeights, model: ModelConfig
) -> SystemPrompt:
    """The target under the configured text; costs no memory beyond its prefix."""
    return SystemPrompt(config.name, config.text, weights)
