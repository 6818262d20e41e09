"""Models for the engine's benchmark: by shape with random weights, so that no hub is needed, or from a folder.

Prompts are written as token numbers ("17 4 230"), so a model needs no tokenizer. Nothing ends an answer: every draw has
the same number of tokens, and no way of drawing gains from stopping early.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from riskmon.estimate.experts import Expert
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.system_prompt import SystemPrompt
from riskmon.estimate.experts.target import TargetExpert
from riskmon.estimate.model import LanguageModel, load_module
from riskmon.records import Prompt

# Every shape is built as a Llama, whatever its name: what counts here are the sizes.
_COMMON = {"max_position_embeddings": 16384, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {
        "vocab_size": 1000,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "smollm2-135m": {
        "vocab_size": 49152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
    },
    "qwen2.5-0.5b": {
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "llama-3.1-8b": {
        "vocab_size": 128256,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": False,
    },
}
PERSONA_TOKENS = 12


class _Numbers:
    """Reads a text of token numbers."""

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [int(word) for word in text.split()]}


def build_model(
    name: str, device: torch.device, dtype: torch.dtype, layers: int | None = None
) -> LanguageModel:
    """A model of a shape with random weights, or from a folder with its own.

    Args:
        name: a shape, or a folder or hub id.
        layers: as many of the shape's layers; None for all.

    Raises:
        ModelUnavailable: it is no shape and does not load.
    """
    if name in SHAPES:
        sizes = {**_COMMON, **SHAPES[name]}
        sizes["num_hidden_layers"] = layers or sizes["num_hidden_layers"]
        with torch.random.fork_rng(devices=[]), torch.device(device):
            torch.manual_seed(0)
            module: Any = LlamaForCausalLM(LlamaConfig(**sizes))
            module.to(dtype)
    else:
        module = load_module(name, None, str(dtype).removeprefix("torch."), device, key="--model")
    module.eval().requires_grad_(False)
    return LanguageModel(
        module=module,
        tokenizer=_Numbers(),
        device=device,
        vocab_size=int(module.config.vocab_size),
        stop_ids=(),
        context_length=int(module.config.max_position_embeddings),
        chat_template=False,
    )


def build_experts(model: LanguageModel) -> tuple[Expert, ...]:
    """The target, and the target behind a system message."""
    weights = TargetWeights(model)
    return TargetExpert(weights), SystemPrompt("persona", numbers(model, PERSONA_TOKENS, seed=1), weights)


def random_prompt(model: LanguageModel, tokens: int) -> Prompt:
    """A prompt of random tokens."""
    return Prompt("bench", numbers(model, tokens, seed=0))


def numbers(model: LanguageModel, tokens: int, seed: int) -> str:
    """Random token numbers."""
    chosen = np.random.default_rng(seed).integers(1, model.vocab_size, tokens)
    return " ".join(str(token) for token in chosen)
