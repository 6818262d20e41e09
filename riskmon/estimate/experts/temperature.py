"""`temperature`: the target at another softmax temperature.

In come the target's logits z, out go z / temperature; the deployed sampler follows as it does for the target. Above 1
the distribution is flatter, so that what the target rarely says is drawn more often; its order stays the target's. The
expert needs no forward pass of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor

from riskmon.config import ModelConfig, TemperatureExpert
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.target import TargetExpert


class Temperature(TargetExpert):
    """The target's logits, divided."""

    derived = True

    def __init__(self, name: str, temperature: float, weights: TargetWeights) -> None:
        super().__init__(weights)
        self.name = name
        self._temperature = temperature

    def adjust(self, logits: Tensor, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[n, V] -> [n, V], at least float32."""
        return logits.to(torch.promote_types(logits.dtype, torch.float32)) / self._temperature


def build_temperature(config: TemperatureExpert, weights: TargetWeights, model: ModelConfig) -> Temperature:
    """The target at the configured temperature; costs no memory and no forward pass."""
    return Temperature(config.name, config.temperature, weights)
