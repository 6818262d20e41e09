"""A context run once and shared: copies of its cache are apart, and what is run behind it is exact."""

import pytest
import torch
from support.worlds import prompt_ids, tiny_llama
from transformers import MistralConfig, MistralForCausalLM

from riskmon.estimate.engines.local.prefix import extend, open_prefix

ANSWERS = torch.tensor([[6, 7, 2], [2, 2, 9], [5, 6, 7]])


@pytest.fixture(scope="module")
def module():
    return tiny_llama(0).requires_grad_(False)


@pytest.fixture
def prefix(module):
    return open_prefix(module, prompt_ids().tolist(), torch.device("cpu"))


def plain(module, tokens):
    """Logits of every token of the answers and of the one behind them, without a cache: [n, t + 1, V]."""
    context = prompt_ids()
    return module(torch.cat([context.expand(len(tokens), -1), tokens], dim=1)).logits[:, len(context) - 1 :]


def test_it_gives_the_first_token_s_logits(module, prefix):
    torch.testing.assert_close(prefix.logits, plain(module, ANSWERS)[0, 0])
    assert prefix.length == len(prompt_ids())


@pytest.mark.parametrize("steps", [(3,), (1, 1, 1), (2, 1)])
@pytest.mark.parametrize("room", [0, 2, 8], ids=lambda room: f"room-for-{room}")
def test_tokens_behind_it_are_exact_in_one_pass_or_several(module, prefix, steps, room):
    cache = prefix.spread(3, room)
    logits, start = [], 0
    for step in steps:
        logits.append(extend(module, cache, ANSWERS[:, start : start + step], prefix.length + start))
        start += step
    torch.testing.assert_close(torch.cat(logits, dim=1), plain(module, ANSWERS)[:, 1:], atol=2e-5, rtol=1e-5)


def test_copies_are_apart_and_the_context_stays_as_it_was(module, prefix):
    first, second = prefix.spread(3), prefix.spread(2)
    extend(module, first, ANSWERS, prefix.length)
    assert first.get_seq_length() == prefix.length + 3
    assert second.get_seq_length() == prefix.cache.get_seq_length() == prefix.length
    again = extend(module, prefix.spread(3), ANSWERS, prefix.length)
    torch.testing.assert_close(again, plain(module, ANSWERS)[:, 1:], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("room", [0, 8], ids=lambda room: f"room-for-{room}")
def test_rows_that_stay_go_on_as_if_they_had_been_alone(module, prefix, room):
    cache = prefix.spread(3, room)
    extend(module, cache, ANSWERS[:, :1], prefix.length)
    cache.batch_select_indices(torch.tensor([2, 0]))
    left = ANSWERS[[2, 0]]
    logits = extend(module, cache, left[:, 1:], prefix.length + 1)
    torch.testing.assert_close(logits, plain(module, left)[:, 2:], atol=2e-5, rtol=1e-5)


def test_with_room_a_step_writes_where_the_keys_already_lie(module, prefix):
    cache = prefix.spread(3, 3)
    before = [layer.keys.data_ptr() for layer in cache.layers]
    for step in range(3):
        extend(module, cache, ANSWERS[:, step : step + 1], prefix.length + step)
    assert [layer.keys.data_ptr() for layer in cache.layers] == before


def test_sliding_windows_keep_their_own_layers():
    torch.manual_seed(0)
    sizes = {"vocab_size": 11, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    config = MistralConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, sliding_window=4)
    module = MistralForCausalLM(config).eval().requires_grad_(False)
    prefix = open_prefix(module, prompt_ids().tolist(), torch.device("cpu"))
    logits = extend(module, prefix.spread(3, 8), ANSWERS, prefix.length)
    torch.testing.assert_close(logits, plain(module, ANSWERS)[:, 1:], atol=2e-5, rtol=1e-5)
