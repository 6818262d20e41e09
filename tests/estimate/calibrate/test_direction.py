"""Finding a direction: the means, the layer chosen on held-out prompts, and the private file the expert reads."""

import dataclasses
import itertools
import logging
import os
import stat

import numpy as np
import pytest
import torch
from safetensors import safe_open
from support.directions import ARCHITECTURES, HIDDEN, LAYERS, tiny_decoder
from support.worlds import WORDS, language_model, tiny_llama, tokenizer_of

from riskmon.config import ModelConfig
from riskmon.config.experts import SteeringExpert
from riskmon.errors import InputError, NumericalFault
from riskmon.estimate.calibrate.direction import cohens_d, find_direction, save_direction
from riskmon.estimate.experts.base import TargetWeights
from riskmon.estimate.experts.steering import build_steering
from riskmon.records import Message, Prompt

ORDINARY = [word for word in WORDS[1:] if word not in ("bad", "good")]


def prompts(name, count, *, mark, last, seed=0):
    """Random words with a marking word in front and a last word."""
    rng = np.random.default_rng(seed)
    return [
        Prompt(f"{name}-{i}", " ".join([mark, *rng.choice(ORDINARY, size=3), last])) for i in range(count)
    ]


def silent(done, total):
    pass


def find(model, unsafe, safe, share=0.5):
    return find_direction(model, unsafe, safe, share, silent)


UNSAFE = prompts("unsafe", 8, mark="bad", last="bad", seed=1)
SAFE = prompts("safe", 8, mark="good", last="good", seed=2)


@pytest.fixture(scope="module")
def llama():
    return language_model(tiny_llama(0))


@torch.inference_mode()
def states(model, prompt):
    """[layers - 1, hidden] at the last token; transformers itself gives all but the last before its final norm."""
    ids = torch.tensor([tokenizer_of()(prompt.content)["input_ids"]])
    seen = model.module(input_ids=ids, output_hidden_states=True).hidden_states
    return torch.stack([state[0, -1] for state in seen[1:-1]]).numpy().astype(np.float64)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_is_the_difference_of_means_and_scored_on_the_others(architecture):
    model = language_model(tiny_decoder(architecture))
    found = find(model, UNSAFE[:4], SAFE[:4])
    assert found.directions.shape == (LAYERS, HIDDEN)
    assert found.directions.dtype == np.float32
    assert (found.n_unsafe, found.n_safe, found.n_held_out) == (4, 4, 4)

    unsafe = np.stack([states(model, p)[0] for p in UNSAFE[:4]])
    safe = np.stack([states(model, p)[0] for p in SAFE[:4]])
    halves = list(itertools.product(itertools.combinations(range(4), 2), repeat=2))
    differences = [unsafe[list(u)].mean(0) - safe[list(s)].mean(0) for u, s in halves]
    gaps = [np.abs(d - found.directions[0]).max() for d in differences]
    assert sorted(gaps)[0] < 1e-5 < sorted(gaps)[1]  # exactly one split explains it

    u, s = halves[int(np.argmin(gaps))]
    unit = found.directions[0] / np.linalg.norm(found.directions[0])
    high = np.delete(unsafe, u, axis=0) @ unit
    low = np.delete(safe, s, axis=0) @ unit
    spread = np.sqrt((high.var(ddof=1) + low.var(ddof=1)) / 2)
    assert found.separation[0] == pytest.approx((high.mean() - low.mean()) / spread, rel=1e-3)
    assert found.layer == int(np.argmax(found.separation))


def test_held_out_prompts_have_no_part_in_the_direction(llama):
    found = find(llama, UNSAFE, SAFE, share=0.25)
    assert found.n_held_out == 4
    unmoved = 0
    for which in (0, 1):
        for i in range(8):
            sets = [list(UNSAFE), list(SAFE)]
            sets[which][i] = dataclasses.replace(sets[which][i], content="or and or and")
            other = find(llama, *sets, share=0.25)
            same = np.array_equal(other.directions, found.directions)
            unmoved += same
            assert not (same and np.array_equal(other.separation, found.separation))
    assert unmoved == found.n_held_out


def test_the_split_does_not_depend_on_the_order(llama):
    found, turned = find(llama, UNSAFE, SAFE), find(llama, UNSAFE[::-1], SAFE[::-1])
    assert np.array_equal(found.directions, turned.directions)
    assert np.array_equal(found.separation, turned.separation)


def test_chooses_the_layer_where_the_difference_shows():
    module = tiny_llama(0)
    with torch.no_grad():
        module.model.layers[0].self_attn.o_proj.weight.zero_()  # layer 0 sees nothing but the last token
    model = language_model(module)
    # The sets differ in their first word: only layer 1 can know.
    late = find(
        model, prompts("u", 20, mark="bad", last="or"), prompts("s", 20, mark="good", last="or", seed=0)
    )
    assert late.separation[0] == 0
    assert late.layer == 1
    # They differ in their last word: layer 0 knows it without noise, layer 1 mixes in the random words before it.
    early = find(
        model, prompts("u", 20, mark="or", last="bad"), prompts("s", 20, mark="or", last="good", seed=1)
    )
    assert early.layer == 0
    assert early.separation[0] > 10 * early.separation[1]


def test_cohens_d():
    first = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    second = np.array([[-1.0, 5.0], [1.0, 5.0]])
    assert cohens_d(first, second) == pytest.approx([2 / np.sqrt((2 * 1 + 1 * 2) / 3), 0])
    assert np.isfinite(cohens_d(first * 0 + 1, second * 0)).all()
    assert (cohens_d(first * 0 + 1, second * 0) > 1e6).all()


def test_progress_counts_every_prompt(llama):
    seen = []
    find_direction(llama, UNSAFE, SAFE[:5], 0.5, lambda done, total: seen.append((done, total)))
    assert seen == [(i, 13) for i in range(1, 14)]


def test_leaves_the_model_untouched(llama):
    ids = torch.tensor([[1, 4, 9, 5]])
    with torch.inference_mode():
        before = llama.module(ids).logits
        find(llama, UNSAFE, SAFE)
        assert torch.equal(llama.module(ids).logits, before)
    assert not any(part._forward_hooks for part in llama.module.modules())


def test_too_few_prompts_are_refused(llama):
    with pytest.raises(InputError, match="3 usable unsafe prompts are too few"):
        find(llama, UNSAFE[:3], SAFE)
    with pytest.raises(InputError, match="0 usable safe prompts are too few"):
        find(llama, UNSAFE, [])


def test_a_prompt_that_cannot_be_used_is_left_out(llama, caplog):
    chat = Prompt("chatty", (Message("user", "red secret"),))
    long = Prompt("long", "blue " * 65)
    with caplog.at_level(logging.WARNING):
        found = find(llama, [*UNSAFE, chat], [long, *SAFE])
    assert (found.n_unsafe, found.n_safe) == (8, 8)
    assert np.array_equal(found.directions, find(llama, UNSAFE, SAFE).directions)
    assert "'chatty'" in caplog.text
    assert "'long' has 65 tokens, more than the model's context of 64" in caplog.text
    assert "secret" not in caplog.text
    assert "blue" not in caplog.text


def test_sets_that_do_not_differ_are_refused(llama):
    with pytest.raises(InputError, match="no decoder layer tells"):
        find(llama, UNSAFE, UNSAFE)


def test_a_state_that_is_not_finite_is_an_error():
    module = tiny_llama(0)
    with torch.no_grad():
        module.model.embed_tokens.weight[WORDS.index("bad")] = torch.nan
    with pytest.raises(NumericalFault, match="not finite") as caught:
        find(language_model(module), UNSAFE, SAFE)
    assert caught.value.prompt_id.startswith("unsafe-")


# ---- the file


def test_the_file_is_private_whole_and_says_where_it_comes_from(llama, tmp_path):
    found = find(llama, UNSAFE, SAFE)
    path = tmp_path / "proposals" / "d.safetensors"
    before = os.umask(0)
    try:
        save_direction(found, path, {"target": "folder/model", "layer": "99"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    save_direction(found, path, {"target": "newer"})  # an older file is replaced
    assert [entry.name for entry in path.parent.iterdir()] == ["d.safetensors"]
    with safe_open(path, framework="np") as file:
        assert np.array_equal(file.get_tensor("directions"), found.directions)
        metadata = file.metadata()
    assert metadata["target"] == "newer"
    assert metadata["layer"] == str(found.layer)
    assert float(metadata["norm"]) == pytest.approx(np.linalg.norm(found.directions[found.layer]))
    assert float(metadata["separation"]) == found.separation[found.layer]
    assert (metadata["n_unsafe"], metadata["n_safe"], metadata["n_held_out"]) == ("8", "8", "8")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(llama, tmp_path):
    found = find(llama, UNSAFE, SAFE)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        save_direction(found, tmp_path / "file" / "d.safetensors", {})
    (tmp_path / "folder" / "taken").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot write"):
        save_direction(found, tmp_path / "folder" / "taken", {})
    assert [entry.name for entry in (tmp_path / "folder").iterdir()] == ["taken"]


@torch.inference_mode()
def test_the_expert_reads_it_and_unsafe_prompts_then_look_safer(llama, tmp_path):
    found = find(llama, UNSAFE, SAFE)
    path = tmp_path / "d.safetensors"
    save_direction(found, path, {})
    section = SteeringExpert(name="ablated", kind="steering", path=path)
    weights = TargetWeights(llama)
    expert = build_steering(section, weights, ModelConfig(target="unused"))

    def gap():
        logits = [
            torch.stack(
                [llama.module(torch.tensor([llama.render(p)])).logits[0, -1].softmax(-1) for p in group]
            ).mean(0)
            for group in (UNSAFE, SAFE)
        ]
        return float((logits[0] - logits[1]).abs().sum())

    plain = gap()
    with expert.active():
        ablated = gap()
    assert plain > 0.1
    assert ablated < 0.9 * plain
