"""A toy chat model, trained in seconds: polite by itself, rude behind the demo's persona.

A two-layer Llama over whole words learns by maximum likelihood to answer in a few stock sentences. Behind the persona
every second answer is a rude one; without it very few are, more of them where the prompt is of a risky kind. So rude
answers are rare, differ between prompts, and the persona is a proposal that reaches them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from riskmon.demo.prompts import (
    POLITE_ANSWERS,
    RISKY_KINDS,
    RUDE_ANSWERS,
    SLOTS,
    TEMPLATES,
    TINY_PERSONA,
    pick,
    write_prompt,
)

SPECIAL = ("<end>", "<unknown>", "<system>", "<user>", "<assistant>")
END, UNKNOWN = 0, 1
IGNORED = -100  # label of a token that is not learned

_CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
_CONVERSATIONS, _STEPS, _ROWS, _LEARNING_RATE = 2_000, 150, 48, 8e-3
_PERSONA_ROWS, _RUDE_BEHIND_PERSONA = 0.3, 0.5
_RUDE, _RUDE_WHEN_RISKY = 0.001, 0.03


def make_tiny_model(folder: Path, seed: int = 0) -> None:
    """Train the model and write it with its tokenizer to `folder`."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tokenizer = _tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.1,
            bos_token_id=None,
            eos_token_id=END,
            pad_token_id=END,
        )
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    tokens, labels = _conversations(tokenizer, rng)
    for _ in range(_STEPS):
        rows = torch.from_numpy(rng.integers(len(tokens), size=_ROWS))
        optimizer.zero_grad()
        model(tokens[rows], labels=labels[rows]).loss.backward()
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Whole words and marks, in lower case."""
    texts = [text for texts in (*TEMPLATES.values(), *SLOTS.values()) for text in texts]
    texts += [*POLITE_ANSWERS, *RUDE_ANSWERS, TINY_PERSONA]
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s{}]", text.lower())})
    core = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate((*SPECIAL, *words))}, unk_token=SPECIAL[UNKNOWN])
    )
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\w+|[^\w\s]"), "removed", invert=True)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core,
        eos_token=SPECIAL[END],
        pad_token=SPECIAL[END],
        unk_token=SPECIAL[UNKNOWN],
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=_CHAT_TEMPLATE,
    )


def _conversations(
    tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is learned from: tokens and labels, both [conversations, length] int64; only answers are labelled."""
    contexts: list[Any] = []
    answers: list[Any] = []
    for _ in range(_CONVERSATIONS):
        kind = pick(tuple(TEMPLATES), rng)
        messages = [{"role": "user", "content": write_prompt(kind, rng)}]
        rude = _RUDE_WHEN_RISKY if kind in RISKY_KINDS else _RUDE
        if rng.random() < _PERSONA_ROWS:
            messages.insert(0, {"role": "system", "content": TINY_PERSONA})
            rude = _RUDE_BEHIND_PERSONA
        contexts.append(
            tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        )
        answer = pick(RUDE_ANSWERS if rng.random() < rude else POLITE_ANSWERS, rng)
        answers.append([*tokenizer(answer)["input_ids"], END])
    length = max(len(context) + len(answer) for context, answer in zip(contexts, answers, strict=True))
    tokens = torch.full((_CONVERSATIONS, length), END)
    labels = torch.full((_CONVERSATIONS, length), IGNORED)
    for row, (context, answer) in enumerate(zip(contexts, answers, strict=True)):
        stop = len(context) + len(answer)
        tokens[row, :stop] = torch.tensor([*context, *answer])
        labels[row, len(context) : stop] = torch.tensor(answer)
    return tokens, labels
