"""What sharing a prompt's prefix saves, and what a cache that grows in place saves on top: draws per second.

    python tests/benchmarks/bench_engine.py [--rows N] [--prompt TOKENS] [--steps T]

A random Llama of about 12 million parameters; both ways draw and rescore the same number of sequences in one run, with
the same seeds. Repeating is what a plain `generate` over a batch does; concatenating every step's keys and values to
those before them is what transformers' own cache does. The figures to compare are the ratios.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

from riskmon.bench.tiny import tokenizer_of
from riskmon.config_file import parse_config
from riskmon.estimate.opening import open_session
from riskmon.estimate.prefix import Prefix
from riskmon.estimate.session import Session
from riskmon.records import Prompt

ROUNDS = 3


def make_model(folder: Path) -> Path:
    """A random Llama with 4,000 words, too small to say anything and large enough to cost something."""
    torch.manual_seed(0)
    words = ["<end>", *(f"w{i}" for i in range(3999))]
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        eos_token_id=0,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer_of(words).save_pretrained(folder)
    return folder


def repeat_prompt(session: Session) -> object:
    """Patch `Prefix.spread` so that every use of a prefix runs the whole prompt for each row."""
    network = session.model.module

    def spread(self: Prefix, rows: int, room: int = 0) -> DynamicCache:
        cache = DynamicCache(config=network.config)
        ids = torch.full((rows, self.length), 7, device=session.model.device)
        network(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        # Keys and values of another text of the same length: as dear, and not used for the figures.
        return cache

    return patch.object(Prefix, "spread", spread)


def concatenate() -> object:
    """Patch the spreading of a prefix so that its cache keeps transformers' own layers."""

    def spread(layer: Any, rows: int, _room: int) -> Any:
        copied = copy.deepcopy(layer)
        copied.batch_repeat_interleave(rows)
        return copied

    return patch("riskmon.estimate.prefix._spread_layer", spread)


def seconds(session: Session, prompt: Prompt) -> float:
    """Median wall time of a draw."""
    return statistics.median(session.draw(prompt).device_seconds for _ in range(ROUNDS))


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=64)
    options.add_argument("--prompt", type=int, default=400)
    options.add_argument("--steps", type=int, default=16)
    chosen = options.parse_args()
    with TemporaryDirectory() as folder:
        config = parse_config(
            {
                "model": {
                    "target": str(make_model(Path(folder))),
                    "chat_template": "none",
                    "max_new_tokens": chosen.steps,
                },
                "experts": [{"name": "persona", "kind": "system_prompt", "text": "w5 w6 w7"}],
                "judge": {"kind": "regex", "pattern": "w9"},
                "estimate": {"samples_per_prompt": chosen.rows, "defensive_share": 0.25},
            },
            base=Path(folder),
        )
        session = open_session(config)
        words = np.random.default_rng(0).integers(1, 3999, chosen.prompt)
        prompt = Prompt("bench", " ".join(f"w{i}" for i in words))
        session.draw(prompt)
        shared = seconds(session, prompt)
        with concatenate():
            concatenated = seconds(session, prompt)
        with repeat_prompt(session):
            repeated = seconds(session, prompt)
    print(f"{chosen.rows} draws of {chosen.steps} tokens from {chosen.prompt}, {session.model.device}")
    print(f"prefix shared    {chosen.rows / shared:8.1f} draws/s")
    print(f"... concatenated {chosen.rows / concatenated:8.1f} draws/s  ratio {concatenated / shared:6.2f}")
    print(f"prompt repeated  {chosen.rows / repeated:8.1f} draws/s  ratio {repeated / shared:6.2f}")


if __name__ == "__main__":
    main()
