"""Steps of fixed shapes against steps as they come, recorded or not, through everything that moves rows about."""

import numpy as np
import pytest
import torch
from support.recorded_steps import TapeRecorder
from support.worlds import WORDS, prompt_ids, tiny_llama
from transformers import GPT2Config, GPT2LMHeadModel, Qwen3Config, Qwen3ForCausalLM

from riskmon.estimate.engines.local.fixed.decoding import Decoding
from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.engines.local.strands import Strands

CPU = torch.device("cpu")
VOCAB = len(WORDS)
MODELS = {
    "llama": lambda: tiny_llama(0),
    "qwen3": lambda: Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            initializer_range=0.2,
        )
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=3, n_head=4, n_positions=256, initializer_range=0.2)
    ),
}
CONTEXTS = {"short": [1, 2, 5], "long": prompt_ids().tolist() * 3, "longer": [3, 1, 4] * 25}


@pytest.fixture(scope="module", params=MODELS)
def module(request):
    torch.manual_seed(0)
    return MODELS[request.param]().eval().requires_grad_(False)


class Pair:
    """The same rows as plain strands and as fixed ones; every step compares their logits row by row."""

    def __init__(self, module, decoding, room=4):
        self.module = module
        self.strands = [Strands(room), decoding.open("", room)]
        self.names = [[], []]
        self.contexts = {name: open_prefix(module, ids, CPU) for name, ids in CONTEXTS.items()}
        self.chance = torch.Generator().manual_seed(0)
        self.count = 0

    def add(self, context, rows, said=0):
        tokens = torch.randint(0, VOCAB, (rows, said), generator=self.chance)
        found = [own.add(self.module, self.contexts[context], tokens) for own in self.strands]
        torch.testing.assert_close(*found, atol=2e-5, rtol=0)
        for names in self.names:
            names += range(self.count, self.count + rows)
        self.count += rows

    def step(self, times=1):
        for _ in range(times):
            tokens = torch.randint(0, VOCAB, (self.count,), generator=self.chance)
            found = []
            for own, names in zip(self.strands, self.names, strict=True):
                assert len(own) == len(names)
                found.append(own.step(self.module, tokens[names])[np.argsort(names)])
            torch.testing.assert_close(*found, atol=3e-5, rtol=0)

    def keep(self, stays):
        for i, own in enumerate(self.strands):
            order = own.keep(np.isin(self.names[i], list(stays)))
            self.names[i] = [self.names[i][place] for place in order]


@pytest.mark.parametrize("recorder", [None, TapeRecorder()], ids=["as they are", "recorded"])
@torch.inference_mode()
def test_fixed_steps_give_the_logits_of_ordinary_ones(module, recorder):
    """Rows come behind one context, then three; some leave, others take their places, own tokens outgrow the room."""
    before = 0 if recorder is None else recorder.replays
    pair = Pair(module, Decoding("graphs", CPU, recorder))
    pair.add("short", 10)
    pair.step(3)
    pair.keep(set(range(10)) - {2, 3, 9})
    pair.step()
    pair.add("long", 5, said=3)
    pair.step(2)
    pair.keep({0, 8, 11, 12, 14})
    pair.add("long", 2)
    pair.add("longer", 30, said=1)
    pair.step(2)
    pair.keep({12, 14, *range(20, 47)})  # nobody is left behind the short one
    pair.step(30)
    pair.add("short", 1)
    pair.keep({20, 47})
    pair.step(3)
    if recorder is not None:
        assert recorder.replays - before > 30


@torch.inference_mode()
def test_many_rows_beside_few_take_several_columns():
    shapes = []
    module = tiny_llama(0).requires_grad_(False)
    decoding = Decoding("graphs", CPU)
    take_step = decoding._step
    decoding._step = lambda module, arena, shape: (shapes.append(shape), take_step(module, arena, shape))
    pair = Pair(module, decoding)
    pair.add("short", 2)
    pair.step()
    pair.add("long", 40)
    pair.step(2)
    pair.keep({0, *range(30, 42)})
    pair.step(2)
    assert [(shape.contexts, shape.rows) for shape in shapes] == [(1, 8), (6, 8), (6, 8), (2, 12), (2, 12)]


@torch.inference_mode()
def test_the_next_batch_replays_what_an_earlier_one_recorded():
    """Other prompts of like length, other numbers of rows: the same few shapes."""
    recorder = TapeRecorder()
    module = tiny_llama(0).requires_grad_(False)
    decoding = Decoding("graphs", CPU, recorder)
    first = Pair(module, decoding)
    first.add("short", 7)
    first.step(3)
    recorded = recorder.recordings
    assert recorded == 1
    second = Pair(module, decoding)
    second.add("long", 5)
    second.step(3)
    assert recorder.recordings == recorded
    assert len(second.contexts["long"].keys) > 0
    assert second.contexts["long"].length != first.contexts["short"].length


@torch.inference_mode()
def test_numbers_left_by_an_earlier_batch_do_not_matter():
    module = tiny_llama(0).requires_grad_(False)
    decoding = Decoding("graphs", CPU)
    spoilt = decoding.open("", 4)
    context = open_prefix(module, CONTEXTS["longer"], CPU)
    spoilt.add(module, context, torch.zeros((9, 1), dtype=torch.int64))
    arena = decoding._rooms[""].arena
    for buffer in (*arena.keys, *arena.values, *arena.context_keys, *arena.context_values):
        buffer.fill_(float("nan"))
    pair = Pair(module, decoding)
    pair.add("short", 9)
    pair.step(2)


@torch.inference_mode()
def test_what_is_held_is_counted_and_given_back():
    module = tiny_llama(0).requires_grad_(False)
    decoding = Decoding("graphs", CPU)
    pair = Pair(module, decoding)
    assert decoding.nbytes == 0
    pair.add("short", 3)
    small = decoding.nbytes
    pair.add("short", 60)
    assert decoding.nbytes > 4 * small > 0
    decoding.release()
    assert decoding.nbytes == 0
