"""Shared attention against ordinary forward passes of models of several makes; those it cannot serve are found out."""

import logging

import numpy as np
import pytest
import torch
from support.worlds import prompt_ids, tiny_llama
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from riskmon.estimate.engines.local.attend import Part, attend, merge
from riskmon.estimate.engines.local.attention import NAME
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.shareable import can_share
from riskmon.estimate.engines.local.strands import Strands, score_behind

CPU = torch.device("cpu")
SIZES = {
    "vocab_size": 11,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
SERVED = {
    "llama": lambda: tiny_llama(0),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**SIZES)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES, head_dim=16)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=None)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=11, n_embd=32, n_layer=3, n_head=4, n_positions=64, initializer_range=0.2)
    ),
}
OTHERS = {
    "sliding window": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)),
    "window no probe would reach": lambda: MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4096)),
    "capped scores": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8)),
    "position biases": lambda: BloomForCausalLM(
        BloomConfig(vocab_size=11, hidden_size=32, n_layer=2, n_head=4)
    ),
}
SHORT, LONG = [1, 2, 5], prompt_ids().tolist() * 3
FIRST = torch.tensor([[6, 7, 2, 5], [2, 2, 9, 1], [5, 6, 7, 8]])
SECOND = torch.tensor([[3, 3, 4, 1], [8, 1, 2, 2]])


def build(make):
    torch.manual_seed(0)
    return make().eval().requires_grad_(False)


@pytest.fixture(scope="module", params=SERVED)
def module(request):
    return build(SERVED[request.param])


def log_probs(logits, tokens):
    """Of each token of an answer from the logits before it: [n, t, V], [n, t] -> [n, t]."""
    return logits.double().log_softmax(-1).gather(2, tokens[..., None])[..., 0]


def plain(module, context, tokens):
    """Per-token log-probs without any cache."""
    ids = torch.cat([torch.tensor(context).expand(len(tokens), -1), tokens], dim=1)
    return log_probs(module(input_ids=ids).logits[:, len(context) - 1 : -1], tokens)


@pytest.mark.parametrize("context", [SHORT, LONG], ids=["short", "long"])
def test_rescoring_behind_a_shared_context_equals_a_full_forward_pass(module, context):
    prefix = open_prefix(module, context, CPU)
    rest = score_behind(module, prefix, FIRST[:, :-1])
    scored = log_probs(torch.cat([prefix.logits.expand(3, 1, -1), rest], dim=1), FIRST)
    assert float((scored - plain(module, context, FIRST)).sum(1).abs().max()) < 5e-5


def test_rows_of_two_contexts_at_different_steps_equal_full_forward_passes(module):
    """The second prompt's rows come when the first's have said two tokens; one of the first leaves in between."""
    one, two = open_prefix(module, SHORT, CPU), open_prefix(module, LONG, CPU)
    strands = Strands()
    logits = [[strands.add(module, one, FIRST[:, :0])], []]
    for step in (0, 1):
        logits[0].append(strands.step(module, FIRST[:, step]))
    logits[1].append(strands.add(module, two, SECOND[:, :1]))
    order = strands.keep(np.array([False, True, True, True, True]))
    rows = np.concatenate([np.arange(3), np.arange(2)])[order]
    behind_two = order >= 3
    joined = strands.step(
        module,
        torch.stack(
            [(SECOND[r, 1] if late else FIRST[r, 2]) for r, late in zip(rows, behind_two, strict=True)]
        ),
    )
    expected = {False: plain(module, SHORT, FIRST), True: plain(module, LONG, SECOND)}
    first = log_probs(torch.stack(logits[0], dim=1), FIRST[:, :3])
    torch.testing.assert_close(first, expected[False][:, :3], atol=2e-5, rtol=0)
    second = log_probs(logits[1][0].unsqueeze(1), SECOND[:, 1:2])
    torch.testing.assert_close(second, expected[True][:, 1:2], atol=2e-5, rtol=0)
    for row, late, own in zip(rows, behind_two, joined, strict=True):
        said = (SECOND[row, 2] if late else FIRST[row, 3]).view(1, 1)
        found = float(log_probs(own.view(1, 1, -1), said))
        assert found == pytest.approx(float(expected[bool(late)][row, 2 if late else 3]), abs=2e-5)


def test_outside_a_shared_pass_the_model_is_as_it_was(module):
    before = module.config._attn_implementation
    prefix = open_prefix(module, SHORT, CPU)
    score_behind(module, prefix, FIRST)
    assert module.config._attn_implementation == before != NAME


def test_models_are_served_where_shared_attention_computes_what_they_compute(module):
    assert can_share(module, CPU)


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_other_attention_is_found_out_and_said_once(make, caplog):
    module = build(make)
    with caplog.at_level(logging.WARNING):
        assert not can_share(module, CPU)
        assert not can_share(module, CPU)
    assert [type(module).__name__ in message for message in caplog.messages] == [True]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("queries", [1, 6], ids=["one query", "causal"])
def test_two_parts_merged_are_attention_over_both(dtype, queries):
    torch.manual_seed(0)
    query = torch.randn(2, 3, queries, 8, dtype=dtype)
    keys, values = (torch.randn(2, 3, 9 + queries, 8, dtype=dtype) for _ in range(2))
    parts = [
        attend(query, keys[:, :, :9], values[:, :, :9], 0.3),
        attend(query, keys[:, :, 9:], values[:, :, 9:], 0.3, causal=queries > 1),
    ]
    later = torch.ones(queries, 9 + queries, dtype=torch.bool).tril(9)
    scores = (query.double() @ keys.double().transpose(2, 3) * 0.3).masked_fill(~later, -torch.inf)
    expected = scores.softmax(-1) @ values.double()
    tolerance = {torch.float32: 1e-6, torch.float64: 1e-12, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(merge(*parts).double(), expected, atol=tolerance, rtol=tolerance)


def test_a_part_whose_scores_are_far_below_counts_for_nothing():
    high = Part(torch.ones(1, 4), torch.tensor([80.0]))
    low = Part(torch.full((1, 4), -1e30), torch.tensor([-80.0]))
    torch.testing.assert_close(merge(high, low), torch.ones(1, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gpu_s_kernels_compute_what_is_written_out(dtype, masked):
    torch.manual_seed(0)
    query = torch.randn(3, 2, 6, 64, dtype=dtype)
    keys, values = (torch.randn(3, 2, 21, 64, dtype=dtype) for _ in range(2))
    mask = torch.zeros(3, 1, 1, 21, dtype=dtype)
    mask[1, ..., 9:] = -torch.inf
    found = attend(
        *(states.cuda() for states in (query, keys, values)), 0.125, mask.cuda() if masked else None
    )
    exact = attend(
        *(states.double() for states in (query, keys, values)), 0.125, mask.double() if masked else None
    )
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.out.cpu().double(), exact.out, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found.lse.cpu().double(), exact.lse, atol=tolerance, rtol=tolerance)
