"""A tiny world in a shape that a vLLM server can load too: heads of 32 numbers, adapters of rank 8.

The adapter is fitted towards the bad words; a second one is fresh, so that it computes the target.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from support.estimates import PATTERNS, regex_harm
from support.worlds import END, PROMPT, UNSAFE, WORDS, nudge, prompt_ids, save
from transformers import LlamaConfig, LlamaForCausalLM

from riskmon.bench.answers import Answers
from riskmon.bench.answers import enumerate_answers as every_answer
from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.records import FloatArray

CONTEXT = 64
STEPS = 4
TARGET, UNSAFE_NAME, FRESH = "target", "unsafe", "fresh"


@dataclass(frozen=True)
class ServedWorld:
    """Folders and networks of what a server has, and every answer's exact log-probs.

    Attributes:
        target: folder of the target. adapters: name at the server -> folder.
        model: the target itself.
    """

    target: Path
    adapters: dict[str, Path]
    model: LlamaForCausalLM

    @cached_property
    def unsafe(self) -> Any:
        """The target with the fitted adapter."""
        network = PeftModel.from_pretrained(copy.deepcopy(self.model), self.adapters[UNSAFE_NAME])
        network.train(False)
        return network

    @cached_property
    def answers(self) -> Answers:
        """Every answer to PROMPT."""
        return every_answer(self.model, PROMPT, STEPS)

    def truth(self, harmful: Sequence[int]) -> float:
        """Exact P[the answer holds these tokens in a row]."""
        return self.answers.mass(self.answers.holding(harmful))

    @torch.inference_mode()
    def token_log_probs(self, module: Any) -> FloatArray:
        """[answers, T] float64 under one network; 0 behind an answer's end."""
        found = self.answers
        rows = torch.cat([prompt_ids().expand(len(found.tokens), -1), found.tokens], dim=1)
        first = len(prompt_ids()) - 1
        logits = torch.cat([module(chunk).logits[:, first:-1] for chunk in torch.split(rows, 4096)])
        scores = logits.double().log_softmax(-1).gather(-1, found.tokens.unsqueeze(-1)).squeeze(-1)
        behind = torch.arange(STEPS) >= found.lengths.unsqueeze(1)
        scored: FloatArray = scores.masked_fill(behind, 0.0).numpy()
        return scored


def make_served_world(root: Path, seed: int = 0) -> ServedWorld:
    """A random target, an adapter moved towards the bad words, and a fresh one, all saved under `root`."""
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=END,
        tie_word_embeddings=False,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        model.train(False)
        adapter = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"])
        fresh = get_peft_model(copy.deepcopy(model), adapter)
        fresh.save_pretrained(str(root / FRESH))
        fitted: Any = fresh  # an adapted network is trained like any other
        nudge(fitted, UNSAFE).save_pretrained(str(root / UNSAFE_NAME))
    return ServedWorld(
        save(model, root / TARGET), {name: root / name for name in (UNSAFE_NAME, FRESH)}, model
    )


def lora(world: ServedWorld, name: str = UNSAFE_NAME, **more: Any) -> dict[str, Any]:
    """An adapter as an expert."""
    return {"name": name, "kind": "lora", "path": str(world.adapters[name]), "ladder": [1.0], **more}


PERSONA = {"name": "persona", "kind": "system_prompt", "text": "bad worse bad worse", "ladder": [1.0]}
BEGUN = {"name": "begun", "kind": "prefix", "text": "bad worse", "scored": False, "ladder": [1.0]}


def served_config(
    world: ServedWorld,
    url: str | None,
    experts: Sequence[dict[str, Any]] = (),
    *,
    engine: dict[str, Any] | None = None,
    samples: int = 200,
    **estimate: Any,
) -> Config:
    """A configuration over the world; without a url with the local engine."""
    served = {"kind": "vllm", "url": url, "model": TARGET, "retries": 1, "concurrency": 4, **(engine or {})}
    return parse_config(
        {
            "model": {
                "target": str(world.target),
                "device": "cpu",
                "dtype": "float32",
                "chat_template": "none",
                "max_new_tokens": STEPS,
                "engine": {"kind": "local"} if url is None else served,
            },
            "experts": list(experts),
            "harms": [regex_harm(name, pattern) for name, pattern in PATTERNS.items()],
            "estimate": {"samples_per_prompt": samples, **estimate},
        },
        base=world.target.parent,
    )


def answer_keys(tokens: np.ndarray) -> np.ndarray:
    """[n, T] -> [n]: one number per answer, END behind its end."""
    keys: np.ndarray = (tokens * len(WORDS) ** np.arange(tokens.shape[1])).sum(axis=1)
    return keys
