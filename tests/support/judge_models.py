"""Tiny real models for judges, made on the spot: guards with chosen verdicts, random ones, classifiers.

A constant guard is a Phi model (whose output layer has a bias) with everything before the bias silenced: whatever it
reads, its next token has exactly the probabilities it was given. So its verdicts are known without running it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedTokenizerFast,
)

torch.set_num_threads(1)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<end>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
DATED_TEMPLATE = "Today is {{ strftime_now('%d %B %Y') }}.\n" + CHAT_TEMPLATE
SPECIAL = ("<end>", "<s>", "<|user|>", "<|assistant|>", "<|system|>")
POSITIONS = 2048


def subword_tokenizer(
    words: Iterable[str] = (), *, template: str = CHAT_TEMPLATE, split_digits: bool = True
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that reads any text and has every one of `words` as a single token."""
    core = Tokenizer(models.BPE())
    parts = [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if split_digits:
        parts.insert(0, pre_tokenizers.Digits(individual_digits=True))
    core.pre_tokenizer = pre_tokenizers.Sequence(parts)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=5000,
        min_frequency=2,
        show_progress=False,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    core.train_from_iterator([word for word in words for _ in range(5)], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<end>",
        bos_token="<s>",
        additional_special_tokens=list(SPECIAL[2:]),
        chat_template=template,
    )


def constant_guard(
    folder: Path, probabilities: Mapping[str, float], *, tokenizer: PreTrainedTokenizerFast
) -> Path:
    """A model whose next token is always one of the given ones; what they leave goes to the end token."""
    chances = torch.full((len(tokenizer),), 0.0, dtype=torch.float64)
    for text, probability in probabilities.items():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert len(ids) == 1, f"{text!r} is not a single token here"
        chances[ids[0]] += probability
    chances[tokenizer.eos_token_id] += 1 - float(chances.sum())
    model = PhiForCausalLM(
        PhiConfig(
            vocab_size=len(tokenizer),
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=POSITIONS,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=0,
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        model.model.final_layernorm.weight.zero_()
        model.model.final_layernorm.bias.zero_()
        model.lm_head.bias.copy_(chances.clamp(min=math.exp(-60)).log())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_guard(
    folder: Path, seed: int = 0, *, tokenizer: PreTrainedTokenizerFast, scale: float = 0.4
) -> Path:
    """A random Llama: its verdicts depend on all it reads."""
    torch.manual_seed(seed)
    small_llama(len(tokenizer), scale).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def small_llama(vocab_size: int, scale: float = 0.4) -> LlamaForCausalLM:
    """A two-layer Llama with random weights."""
    return LlamaForCausalLM(_llama_config(vocab_size, scale)).eval()


def _llama_config(vocab_size: int, scale: float, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=POSITIONS,
        initializer_range=scale,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=None,
        tie_word_embeddings=False,
        **more,
    )


def llama_classifier(
    folder: Path, labels: Iterable[str], seed: int = 0, *, tokenizer: PreTrainedTokenizerFast
) -> Path:
    """A decoder classifier without a padding token of its own."""
    torch.manual_seed(seed)
    names = dict(enumerate(labels))
    config = _llama_config(len(tokenizer), 0.4, id2label=names, label2id={v: k for k, v in names.items()})
    LlamaForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def bert_classifier(
    folder: Path, labels: Iterable[str], seed: int = 0, *, tokenizer: PreTrainedTokenizerFast, positions: int
) -> Path:
    """An encoder classifier with a table of positions."""
    torch.manual_seed(seed)
    names = dict(enumerate(labels))
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=positions,
        initializer_range=0.4,
        id2label=names,
        label2id={v: k for k, v in names.items()},
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
