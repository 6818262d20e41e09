"""Enumerable worlds: tiny Llama models in which every answer can be scored, so that p is known exactly.

A world has ten tokens (nine words and the end) and six steps; its target is a random two-layer Llama. Experts are
copies of it, moved by a few gradient steps towards saying the bad word, towards ending early, or towards never ending.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ("<end>", "ask", "good", "calm", "red", "blue", "bad", "worse", "and", "or")
END, BAD, WORSE = 0, 6, 7
STEPS = 6
PROMPT = "ask red or blue"


@dataclass(frozen=True)
class World:
    """A target with variants, saved as model folders.

    Attributes:
        target: folder of the target.
        experts: name -> folder of a checkpoint.
    """

    target: Path
    experts: dict[str, Path]


def tiny_llama(seed: int, *, scale: float = 0.6, words: Sequence[str] = WORDS) -> LlamaForCausalLM:
    """A random two-layer Llama over `words`; a larger scale gives more peaked next-token distributions."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        initializer_range=scale,
        bos_token_id=None,
        eos_token_id=END,
        pad_token_id=END,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).eval()


def tokenizer_of(words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """A word-level tokenizer; unknown words read as the first ordinary one."""
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[1]))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=words[0], pad_token=words[0], unk_token=words[1]
    )


def save(model: LlamaForCausalLM, folder: Path) -> Path:
    """Write model and tokenizer as a folder that `model.target` accepts."""
    model.save_pretrained(folder)
    tokenizer_of().save_pretrained(folder)
    return folder


def nudge(model: LlamaForCausalLM, wanted: dict[int, float], *, steps: int = 60, anchor: float = 1.0) -> LlamaForCausalLM:
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


def prompt_ids(prompt: str = PROMPT) -> Tensor:
    """Token ids of a prompt, [t]."""
    return torch.tensor(tokenizer_of()(prompt)["input_ids"])


@torch.inference_mode()
def enumerate_answers(
    model: LlamaForCausalLM, prompt: str = PROMPT, steps: int = STEPS
) -> tuple[list[tuple[int, ...]], Tensor]:
    """Every answer of at most `steps` tokens with its exact log-probability under temperature 1.

    Scored by full forward passes without any cache, so nothing is shared with the code under test.

    Returns:
        Answers (the end token included where there is one), and [answers] float64 log-probs that sum to 1.
    """
    ids = prompt_ids(prompt)
    done: list[tuple[int, ...]] = []
    done_log_probs: list[Tensor] = []
    prefixes = torch.empty((1, 0), dtype=torch.int64)
    log_probs = torch.zeros(1, dtype=torch.float64)
    for step in range(steps):
        rows = torch.cat([ids.expand(len(prefixes), -1), prefixes], dim=1)
        nexts = torch.cat([model(chunk).logits[:, -1].double().log_softmax(-1) for chunk in rows.split(8192)])
        total = log_probs[:, None] + nexts  # [prefixes, V]
        done += [(*prefix, END) for prefix in prefixes.tolist()]
        done_log_probs.append(total[:, END])
        words = torch.arange(1, total.shape[1])
        prefixes = torch.cat(
            [prefixes.repeat_interleave(len(words), 0), words.repeat(len(prefixes)).unsqueeze(1)], dim=1
        )
        log_probs = total[:, 1:].reshape(-1)
        if step + 1 == steps:
            done += [tuple(prefix) for prefix in prefixes.tolist()]
            done_log_probs.append(log_probs)
    return done, torch.cat(done_log_probs)


def exact_probability(model: LlamaForCausalLM, harmful: Sequence[int], prompt: str = PROMPT) -> float:
    """Exact P[the answer holds the tokens `harmful` in a row]."""
    answers, log_probs = enumerate_answers(model, prompt)
    total = log_probs.exp().sum()
    assert abs(total - 1) < 1e-6, total
    width = len(harmful)
    hit = torch.tensor(
        [any(answer[i : i + width] == tuple(harmful) for i in range(len(answer))) for answer in answers]
    )
    return float(log_probs[hit].exp().sum())


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The standard world: a target, and variants that are unsafe, that end early, and that hardly end."""
    root = tmp_path_factory.mktemp("world")
    target = tiny_llama(3)
    variants = {
        "unsafe": nudge(target, {BAD: 0.4, WORSE: 0.4}),
        "early": nudge(target, {BAD: 0.4, WORSE: 0.4, END: 0.4}),
        "late": nudge(target, {BAD: 0.4, WORSE: 0.4, END: -0.1}),
    }
    return World(save(target, root / "target"), {name: save(model, root / name) for name, model in variants.items()})
