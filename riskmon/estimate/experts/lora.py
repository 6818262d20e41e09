"""`lora`: the target's weights with an adapter, an unsafe variant trained beforehand."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from riskmon.config import LoraExpert, ModelConfig
from riskmon.estimate.experts.base import NetworkExpert, TargetWeights
from riskmon.estimate.head import HALF
from riskmon.records import Prompt


class Lora(NetworkExpert):
    """The target with one adapter in force, under the prompt's own context."""

    def __init__(self, name: str, weights: TargetWeights) -> None:
        self.name = self.network = name
        self._weights = weights

    def context(self, prompt: Prompt) -> list[int]:
        """The prompt as deployed."""
        return self._weights.model.render(prompt)

    @property
    def merged(self) -> bool:
        """Whether the adapter has a merged copy of the target's weights."""
        return self._weights.merged(self.name)

    @property
    def rounded(self) -> bool:
        """Whether merging has made it another network: in half precision the sums of weights are rounded."""
        return self.merged and next(self._weights.model.module.parameters()).dtype in HALF

    def active(self) -> AbstractContextManager[nn.Module]:
        """The target with this adapter."""
        return self._weights.active(self.name)


def build_lora(config: LoraExpert, weights: TargetWeights, model: ModelConfig) -> Lora:
    """Load the adapter beside the target; see `TargetWeights.add_adapter` for errors."""
    weights.add_adapter(config.name, config.path, model.merge_adapters, model.memory_share)
    return Lora(config.name, weights)
