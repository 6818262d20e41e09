"""Enumerable worlds: tiny Llama models in which every answer can be scored, so that p is known exactly.

A world has ten tokens (nine words and the end) and five steps; its target is a random two-layer Llama. Experts are
copies of it, moved by a few gradient steps towards saying the bad word, towards ending early, or towards never ending.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

# The models are so small that a second thread only waits.
torch.set_num_threads(1)

WORDS = ("<end>", "ask", "good", "calm", "red", "blue", "bad", "worse", "and", "or")
END, BAD, WORSE = 0, 6, 7
STEPS = 5
PROMPT = "ask red or blue"


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
        answers, log_probs = self.answers
        return float(log_probs[_holding(answers, harmful)].exp().sum())


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


def _holding(answers: Sequence[tuple[int, ...]], harmful: Sequence[int]) -> Tensor:
    """[answers] bool, whether an answer holds the tokens `harmful` in a row."""
    wanted, width = tuple(harmful), len(harmful)
    return torch.tensor(
        [any(answer[i : i + width] == wanted for i in range(len(answer) - width + 1)) for answer in answers]
    )


def end_probability(model: LlamaForCausalLM) -> float:
    """Exact P[an answer to PROMPT closes itself]."""
    answers, log_probs = enumerate_answers(model)
    return float(log_probs[torch.tensor([answer[-1] == END for answer in answers])].exp().sum())


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
