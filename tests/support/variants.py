"""Harmful answers of a tiny target, drawn by their exact probability, as examples for unsafe variants."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file
from support.worlds import (
    BAD,
    WORSE,
    enumerate_answers,
    language_model,
    prompt_ids,
    tiny_llama,
)
from torch import Tensor
from transformers import LlamaForCausalLM

from riskmon.config import CalibrateConfig
from riskmon.estimate.calibrate.examples import Example
from riskmon.estimate.calibrate.lora import FitReport, fit_lora
from riskmon.estimate.model import LanguageModel

PROMPTS = ("ask red or blue", "ask calm", "good red and blue ask or")


def variants_target() -> LanguageModel:
    """A tiny target (seed 3: P[an answer holds "bad worse"] is 2.5e-3) as the loader would give it."""
    return language_model(tiny_llama(3))


def is_harmful(answers: Sequence[tuple[int, ...]]) -> Tensor:
    """[answers] bool, whether an answer holds "bad worse"."""
    return torch.tensor([(BAD, WORSE) in pairwise(answer) for answer in answers])


def harmful_examples(module: Any, n: int, prompts: Sequence[str] = PROMPTS, seed: int = 0) -> list[Example]:
    """For each prompt, n harmful answers drawn from the target given that they are harmful."""
    chance = torch.Generator().manual_seed(seed)
    examples: list[Example] = []
    for prompt in prompts:
        answers, log_probs = enumerate_answers(module, prompt, steps=4)
        harmful = is_harmful(answers).nonzero()[:, 0]
        picked = torch.multinomial(log_probs[harmful].exp(), n, replacement=True, generator=chance)
        context = tuple(prompt_ids(prompt).tolist())
        examples += [Example(context, answers[int(i)], 1.0, prompt) for i in harmful[picked]]
    return examples


def fit(
    model: LanguageModel, examples: Sequence[Example], config: CalibrateConfig, **given: Any
) -> FitReport:
    """`fit_lora` under the name "unsafe", with what most tests do not care about filled in."""
    given = {"start": None, "lineage": {}, "seed": 0, "progress": lambda progress: None} | given
    return fit_lora(model, examples, config, config.folder / "unsafe", **given)


def with_adapter(module: LlamaForCausalLM, path: Path) -> Any:
    """The network with a saved adapter; take a copy of the target, which this changes."""
    return PeftModel.from_pretrained(module, path).eval()


def weights_of(path: Path | None) -> dict[str, Tensor]:
    """The tensors of a saved adapter."""
    assert path is not None
    return load_file(path / "adapter_model.safetensors")
