"""The target model: its weights beside the tokenizer that renders prompts for it.

A model comes from a folder or a hub id, only as safetensors and never with code of its own. Faults of loading become
`ModelUnavailable` with one sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from riskmon.config import ModelConfig
from riskmon.errors import ModelUnavailable
from riskmon.estimate.head import widen_head
from riskmon.estimate.rendering import Rendering, load_tokenizer, stops_of
from riskmon.estimate.unloadable import refuse_to_load


@dataclass(frozen=True, eq=False, kw_only=True)
class LanguageModel(Rendering):
    """A causal language model ready for inference.

    Attributes:
        module: the network, in evaluation mode.
        device: where it runs.
    """

    module: nn.Module
    device: torch.device


def load_model(config: ModelConfig) -> LanguageModel:
    """Load the target as configured.

    Raises:
        ModelUnavailable: the folder or hub id, its weights or its tokenizer cannot be loaded, the device is not
            there, or a chat template is asked for and the tokenizer has none.
    """
    device = pick_device(config.device)
    tokenizer = load_tokenizer(config)
    module = load_module(config.target, config.revision, config.dtype, device, key="model.target")
    return LanguageModel(
        module=module,
        tokenizer=tokenizer,
        device=device,
        vocab_size=int(module.get_output_embeddings().weight.shape[0]),
        stop_ids=stops_of(module.generation_config, tokenizer),
        context_length=getattr(module.config.get_text_config(), "max_position_embeddings", None),
        chat_template=config.chat_template == "auto",
    )


def load_module(name: str, revision: str | None, dtype: str, device: torch.device, *, key: str) -> Any:
    """Load a network for inference, its logits in float32; `key` is the configuration key an error names.

    Raises:
        ModelUnavailable: it cannot be loaded, or has no safetensors weights.
    """
    try:
        module: Any = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
        module.to(device).eval().requires_grad_(False)
        widen_head(module)
        return module
    except Exception as exc:  # noqa: BLE001 - transformers raises many kinds
        refuse_to_load(key, name, exc)


def pick_device(name: str) -> torch.device:
    """The configured device; `auto` takes a GPU where there is one.

    Raises:
        ModelUnavailable: a GPU is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(
            f"model.device is {name!r}, but torch finds no CUDA device; set it to auto or cpu"
        )
    return torch.device(name)
