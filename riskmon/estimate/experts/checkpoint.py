"""`checkpoint`: another model over the target's vocabulary, such as its base or a fine-tuned copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformers import AutoTokenizer

from riskmon.config import CheckpointExpert, ModelConfig
from riskmon.errors import ExpertUnusable
from riskmon.estimate.experts.base import NetworkExpert, TargetWeights
from riskmon.estimate.model import LanguageModel, load_module
from riskmon.records import Prompt


class Checkpoint(NetworkExpert):
    """Weights of their own under the target's rendering of the prompt."""

    def __init__(self, name: str, module: nn.Module, target: LanguageModel) -> None:
        self.name = self.network = name
        self._module = module
        self._target = target

    def context(self, prompt: Prompt) -> list[int]:
        """The prompt as deployed: rendered with the target's template."""
        return self._target.render(prompt)

    @contextmanager
    def active(self) -> Iterator[nn.Module]:
        """The other network."""
        yield self._module


def build_checkpoint(config: CheckpointExpert, weights: TargetWeights, model: ModelConfig) -> Checkpoint:
    """Load the other model onto the target's device.

    Raises:
        ModelUnavailable: it does not load.
        ExpertUnusable: its logits or its tokenizer cover another vocabulary than the target's.
    """
    target = weights.model
    module = load_module(
        config.path, config.revision, model.dtype, target.device, key=f"expert {config.name!r}: checkpoint"
    )
    width = int(module.get_output_embeddings().weight.shape[0])
    if width != target.vocab_size:
        raise ExpertUnusable(
            f"expert {config.name!r}: {config.path} has a vocabulary of {width} tokens, the target has "
            f"{target.vocab_size}; a checkpoint must share the target's vocabulary"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            config.path, revision=config.revision, trust_remote_code=False
        )
    except Exception:  # noqa: BLE001 - weights without a tokenizer are fine: the target's is used
        tokenizer = None
    if tokenizer is not None and tokenizer.get_vocab() != target.tokenizer.get_vocab():
        raise ExpertUnusable(
            f"expert {config.name!r}: {config.path} has as many tokens as the target but names them differently; "
            "a checkpoint must share the target's vocabulary"
        )
    return Checkpoint(config.name, module, target)
