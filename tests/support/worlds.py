"""Enumerable worlds for tests: the package's tiny models, with experts moved in ways that tests ask for.

Experts are copies of the target, moved by a few gradient steps towards saying the bad word, towards ending early, or
towards never ending.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedModel

from riskmon.bench.answers import STEPS
from riskmon.bench.answers import enumerate_answers as every_answer
from riskmon.bench.tiny import (
    BAD,
    END,
    PROMPT,
    WORDS,
    WORSE,
    prompt_ids,
    save,
    tiny_llama,
    tokenizer_of,
)
from riskmon.estimate.model import LanguageModel

# The models are so small that a second thread only waits.
torch.set_num_threads(1)


@dataclass(frozen=True)
class World:
    """A target with variants, saved as model folders, and the exact truth.

    Attributes:
        name: what is special about it.
        target: folder of the target. model: the target itself.
        experts: name -> folder of a checkpoint.
    """

    name: str
    target: Path
    model: LlamaForCausalLM
    experts: dict[str, Path]

    @cached_property
    def answers(self) -> tuple[list[tuple[int, ...]], Tensor]:
        """Every answer to PROMPT and its exact log-probability."""
        return enumerate_answers(self.model)

    def truth(self, harmful: Sequence[int]) -> float:
        """Exact P[the answer holds these tokens in a row]."""
        found = every_answer(self.model)
        return found.mass(found.holding(harmful))


def nudge(
    model: LlamaForCausalLM, wanted: dict[int, float], *, steps: int = 60, anchor: float = 1.0
) -> LlamaForCausalLM:
    """A copy that says some tokens more often (weight > 0) or less often (< 0) and is otherwise like the target.

    Gradient steps on sum_token weight * log p(token), held near the target by `anchor` times the divergence from it: a
    variant that drifts in everything else makes weights heavy for no gain in hits.
    """
    torch.manual_seed(0)
    moved = copy.deepcopy(model).train()
    optimizer = torch.optim.Adam(moved.parameters(), lr=0.01)
    ids = prompt_ids()
    for _ in range(steps):
        answers = torch.randint(1, len(WORDS), (64, STEPS - 1))
        rows = torch.cat([ids.expand(64, -1), answers], dim=1)
        log_probs = moved(rows).logits[:, len(ids) - 1 :].log_softmax(-1)
        with torch.no_grad():
            before = model(rows).logits[:, len(ids) - 1 :].log_softmax(-1)
        drift = (before.exp() * (before - log_probs)).sum(-1).mean()
        loss = anchor * drift - sum(weight * log_probs[..., token].mean() for token, weight in wanted.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return moved.eval()


def enumerate_answers(
    model: LlamaForCausalLM, prompt: str = PROMPT, steps: int = STEPS
) -> tuple[list[tuple[int, ...]], Tensor]:
    """Every answer of at most `steps` tokens with its exact log-probability under temperature 1.

    Returns:
        Answers (the end token included where there is one), and [answers] float64 log-probs that sum to 1.
    """
    found = every_answer(model, prompt, steps)
    rows = zip(found.tokens.tolist(), found.lengths.tolist(), strict=True)
    return [tuple(row[:length]) for row, length in rows], found.log_probs


def language_model(module: PreTrainedModel) -> LanguageModel:
    """A network in memory with the worlds' tokenizer, ready for inference."""
    return LanguageModel(
        module=module.requires_grad_(False),
        tokenizer=tokenizer_of(),
        device=torch.device("cpu"),
        vocab_size=len(WORDS),
        stop_ids=(END,),
        context_length=64,
        chat_template=False,
    )


def end_probability(model: LlamaForCausalLM) -> float:
    """Exact P[an answer to PROMPT closes itself]."""
    found = every_answer(model)
    return found.mass((found.tokens == END).any(1))


def make_world(root: Path, name: str, seed: int, variants: dict[str, dict[int, float]]) -> World:
    """A random target and variants moved towards the given tokens, all saved under `root`."""
    model = tiny_llama(seed)
    experts = {key: save(nudge(model, wanted), root / key) for key, wanted in variants.items()}
    return World(name, save(model, root / "target"), model, experts)


UNSAFE = {BAD: 0.4, WORSE: 0.4}
EARLY = {**UNSAFE, END: 0.4}
LATE = {**UNSAFE, END: -0.1}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The everyday world: a target and one unsafe variant."""
    return make_world(tmp_path_factory.mktemp("world"), "unsafe", 0, {"unsafe": UNSAFE})


@pytest.fixture(scope="session")
def lora_folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter for the everyday world's target, with random weights on both sides."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    config = LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    folder = tmp_path_factory.mktemp("lora")
    get_peft_model(copy.deepcopy(world.model), config).save_pretrained(folder)
    return folder


__all__ = [
    "BAD",
    "EARLY",
    "END",
    "LATE",
    "PROMPT",
    "STEPS",
    "UNSAFE",
    "WORDS",
    "WORSE",
    "World",
    "end_probability",
    "enumerate_answers",
    "lora_folder",
    "make_world",
    "nudge",
    "prompt_ids",
    "save",
    "tiny_llama",
    "tokenizer_of",
    "world",
]
