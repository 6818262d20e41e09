"""Reading answers off a network: against whole-sequence scoring without a cache, and by hand."""

import itertools

import numpy as np
import pytest
import torch
from support.judge_models import random_guard, subword_tokenizer
from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

from riskmon.config import HfGenerativeJudge
from riskmon.estimate.judges import answers
from riskmon.estimate.judges.answers import AmbiguousAnswers, AnswerReader, Node, normalise, plant
from riskmon.estimate.judges.network import load_network
from riskmon.estimate.meter import Meter

CONTEXTS = [[5, 6, 7], [8] * 21, [9, 10, 11, 12, 13, 14], [7], [30, 31, 32, 33, 34, 35, 36, 37, 38]]
DIGITS = list(range(40, 50))
SETTINGS = HfGenerativeJudge(kind="hf-generative", preset="strongreject", dtype="float32", device="cpu")


def sequence_probability(module, context, tokens):
    """P(tokens | context) from one forward pass over the whole row, [V] of what follows beside it."""
    with torch.inference_mode():
        logits = module(torch.tensor([[*context, *tokens]])).logits[0].double()
    log_p = logits.log_softmax(-1)
    steps = [log_p[len(context) - 1 + i, token] for i, token in enumerate(tokens)]
    return float(torch.stack(steps).sum().exp()), log_p[-1].exp()


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = random_guard(tmp_path_factory.mktemp("guard"), 3, tokenizer=subword_tokenizer())
    return load_network("test", str(folder), SETTINGS, "causal")


@pytest.fixture(scope="module")
def sliding(tmp_path_factory):
    """A model with sliding-window layers whose window is shorter than the contexts."""
    torch.manual_seed(0)
    tokenizer = subword_tokenizer()
    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        sliding_window=8,
        initializer_range=0.4,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    folder = tmp_path_factory.mktemp("sliding")
    Gemma2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_network("test", str(folder), SETTINGS, "causal")


@pytest.fixture(scope="module")
def absolute(tmp_path_factory):
    """A model with a table of absolute positions, to which padding matters."""
    torch.manual_seed(0)
    tokenizer = subword_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.4
    )
    folder = tmp_path_factory.mktemp("absolute")
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_network("test", str(folder), SETTINGS, "causal")


def read(network, tree, contexts=CONTEXTS, batch_size=8, **more):
    return AnswerReader(network, tree, batch_size=batch_size, max_tokens=64, meter=Meter(), **more).read(
        contexts
    )


def test_labels_of_any_length_have_the_product_of_their_tokens(network):
    labels = {(50,): 1.0, (51, 52): 0.5, (51, 53, 54): 0.25}
    value, mass = read(network, plant({path: Node(value=v) for path, v in labels.items()}))
    for row, context in enumerate(CONTEXTS):
        p = {path: sequence_probability(network.module, context, path)[0] for path in labels}
        # Branches below the floor are not followed; here none is.
        assert sequence_probability(network.module, context, (51,))[0] > 1e-5
        assert mass[row] == pytest.approx(sum(p.values()), rel=1e-4)
        assert value[row] == pytest.approx(sum(p[path] * v for path, v in labels.items()), rel=1e-4)


@pytest.mark.parametrize("which", ["network", "sliding", "absolute"])
def test_numbers_are_complete_only_where_no_digit_follows(which, request):
    network = request.getfixturevalue(which)
    numbers = [(a,) for a in DIGITS[:3]] + list(itertools.product(DIGITS[1:3], DIGITS[:3])) + [(41, 40, 40)]
    tree = plant({path: Node(value=i / 20, closing=True) for i, path in enumerate(numbers)})
    value, mass = read(network, tree, continuing=DIGITS)
    for row, context in enumerate(CONTEXTS):
        expected = np.zeros(2)
        for i, path in enumerate(numbers):
            p, after = sequence_probability(network.module, context, path)
            whole = p * (1 - float(after[DIGITS].sum()))
            expected += whole * np.array([i / 20, 1.0])
        # 13 numbers of up to three tokens; each branch under the floor may take 1e-5 with it.
        assert value[row] == pytest.approx(expected[0], rel=1e-3, abs=1e-5)
        assert mass[row] == pytest.approx(expected[1], rel=1e-3, abs=2e-5)


def test_forced_text_costs_no_probability(network):
    second = plant({(60,): Node(value=1.0), (61,): Node(value=0.0)})
    tree = plant({(50,): Node(children=second.children, forced=(70, 71)), (51,): Node(value=0.5)})
    value, mass = read(network, tree)
    for row, context in enumerate(CONTEXTS):
        start, _ = sequence_probability(network.module, context, (50,))
        other, _ = sequence_probability(network.module, context, (51,))
        _, after = sequence_probability(network.module, context, (50, 70, 71))
        assert value[row] == pytest.approx(start * float(after[60]) + 0.5 * other, rel=1e-4)
        assert mass[row] == pytest.approx(start * float(after[60] + after[61]) + other, rel=1e-4)


@pytest.mark.parametrize("which", ["network", "sliding", "absolute"])
@pytest.mark.parametrize("batch_size", [2, 8])
def test_company_and_padding_change_nothing(which, batch_size, request):
    network = request.getfixturevalue(which)
    ends = {(50,): Node(value=1.0), (51, 52): Node(value=0.0), (51, 53): Node(value=0.3)}
    together = read(network, plant(ends), batch_size=batch_size)
    alone = np.array([read(network, plant(ends), [context]) for context in CONTEXTS])[..., 0].T
    np.testing.assert_allclose(together, alone, rtol=1e-4)


def test_what_a_row_hardly_reaches_is_left_out_for_that_row_only(network, monkeypatch):
    ends = {(50, 51): Node(value=1.0)}
    chances = [sequence_probability(network.module, context, (50,))[0] for context in CONTEXTS]
    low, high = int(np.argmin(chances)), int(np.argmax(chances))
    monkeypatch.setattr(answers, "_FLOOR", (chances[low] + chances[high]) / 2)
    _, mass = read(network, plant(ends))
    assert mass[low] == 0
    assert mass[high] == pytest.approx(
        sequence_probability(network.module, CONTEXTS[high], (50, 51))[0], rel=1e-4
    )


def test_a_context_that_does_not_fit_with_its_answer_is_not_read(network):
    tree = plant({(50, 51, 52): Node(value=1.0)})
    assert tree.depth == 2
    contexts = [[5] * 62, [5] * 63, None, []]
    value, mass = read(network, tree, contexts)
    assert np.isnan(value).tolist() == np.isnan(mass).tolist() == [False, True, True, True]
    assert read(network, tree, [])[0].shape == (0,)


def test_answers_that_cannot_be_told_apart_are_refused():
    with pytest.raises(AmbiguousAnswers):
        plant({(1,): Node(value=1.0), (1, 2): Node(value=0.0)})
    tree = plant({(1,): Node(value=0.1, closing=True), (1, 2): Node(value=0.2, closing=True)})
    assert tree.children[1].value == 0.1
    assert tree.children[1].children[2].value == 0.2


def test_too_little_mass_is_no_verdict():
    scores = normalise(np.array([0.45, 0.45, 0.0, np.nan]), np.array([0.9, 0.89, 0.0, np.nan]), 0.9)
    assert scores[0] == pytest.approx(0.5)
    assert np.isnan(scores[1:]).all()
