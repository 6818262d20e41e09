"""Tiny decoders of several architectures, and directions of their residual streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from support.worlds import END, WORDS, tiny_llama
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    PreTrainedModel,
)

HIDDEN, LAYERS = 16, 2
# GPT-Neo's layers return tuples, those of the others a tensor.
ARCHITECTURES = ("llama", "gpt2", "gpt_neox", "gpt_neo")


def tiny_decoder(architecture: str, seed: int = 0) -> PreTrainedModel:
    """A random decoder of two layers and 16 hidden numbers over the worlds' ten words."""
    if architecture == "llama":
        return tiny_llama(seed)
    torch.manual_seed(seed)
    common = {
        "vocab_size": len(WORDS),
        "max_position_embeddings": 64,
        "initializer_range": 0.6,
        "bos_token_id": None,
        "eos_token_id": END,
        "pad_token_id": END,
    }
    if architecture == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=HIDDEN, n_layer=LAYERS, n_head=2, **common)).eval()
    if architecture == "gpt_neox":
        return GPTNeoXForCausalLM(
            GPTNeoXConfig(
                hidden_size=HIDDEN,
                intermediate_size=32,
                num_hidden_layers=LAYERS,
                num_attention_heads=2,
                **common,
            )
        ).eval()
    return GPTNeoForCausalLM(
        GPTNeoConfig(
            hidden_size=HIDDEN,
            num_layers=LAYERS,
            attention_types=[[["global", "local"], 1]],
            num_heads=2,
            **common,
        )
    ).eval()


def random_direction(seed: int = 0, *, shape: tuple[int, ...] = (HIDDEN,), length: float = 3.0) -> Tensor:
    """Random directions of a given length."""
    vector = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return length * vector / vector.norm(dim=-1, keepdim=True)


def write_direction(path: Path, tensor: Tensor, metadata: Mapping[str, str] | None = None) -> Path:
    """One direction, or one per layer, as the file that the expert reads."""
    key = "direction" if tensor.ndim == 1 else "directions"
    save_file({key: tensor.contiguous()}, path, metadata=dict(metadata or {}))
    return path
