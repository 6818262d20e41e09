"""Tiny language models over ten words: random two-layer Llamas, with a word-level tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ("<end>", "ask", "good", "calm", "red", "blue", "bad", "worse", "and", "or")
END, BAD, WORSE = 0, 6, 7
PROMPT = "ask red or blue"


def tiny_llama(seed: int, *, scale: float = 0.6, words: Sequence[str] = WORDS) -> LlamaForCausalLM:
    """A random two-layer Llama over `words`; a larger scale gives more peaked next-token distributions."""
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.train(False)
    return model


def tokenizer_of(words: Sequence[str] = WORDS) -> PreTrainedTokenizerFast:
    """A word-level tokenizer; unknown words read as the first ordinary one.

    That word is no special token: one would vanish from decoded answers, and words around it would meet.
    """
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=words[1]))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=core, eos_token=words[0], pad_token=words[0]
    )


def save(model: LlamaForCausalLM, folder: Path) -> Path:
    """Write model and tokenizer as a folder that `model.target` accepts."""
    model.save_pretrained(folder)
    tokenizer_of().save_pretrained(folder)
    return folder


def prompt_ids(prompt: str = PROMPT) -> Tensor:
    """Token ids of a prompt, [t]."""
    return torch.tensor(tokenizer_of()(prompt)["input_ids"])
