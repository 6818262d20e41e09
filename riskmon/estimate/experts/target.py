"""Expert 0: the deployed model itself."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn

from riskmon.estimate.experts.base import TARGET_NETWORK, NetworkExpert, TargetWeights
from riskmon.records import Prompt


class TargetExpert(NetworkExpert):
    """The target's weights under the prompt's own context."""

    name = "target"
    network = TARGET_NETWORK

    def __init__(self, weights: TargetWeights) -> None:
        self._weights = weights

    def context(self, prompt: Prompt) -> list[int]:
        """The prompt as deployed."""
        return self._weights.model.render(prompt)

    def active(self) -> AbstractContextManager[nn.Module]:
        """The target without any adapter."""
        return self._weights.active(None)
