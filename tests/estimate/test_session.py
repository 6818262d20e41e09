import logging
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.estimates import world_config
from support.worlds import PROMPT

from riskmon.errors import ModelUnavailable
from riskmon.estimate.session import open_session, prompt_stream
from riskmon.records import Message, Position, Prompt


@pytest.fixture(scope="module")
def session(world):
    return open_session(world_config(world.target, world.experts))


def first(session, prompt):
    return session.estimate(prompt).estimates[0]


def same_but_for_time(a, b):
    return (a.p, a.stderr, a.upper_bound, a.hits, a.tokens) == (
        b.p,
        b.stderr,
        b.upper_bound,
        b.hits,
        b.tokens,
    )


def test_the_same_id_gives_the_same_estimate_and_another_id_an_independent_one(session):
    again = first(session, Prompt("a", PROMPT))
    assert same_but_for_time(first(session, Prompt("a", PROMPT)), again)
    assert first(session, Prompt("b", PROMPT)).p != again.p


def test_other_prompts_in_between_change_nothing(session):
    before = first(session, Prompt("a", PROMPT))
    session.estimate(Prompt("between", "ask good calm"))
    assert same_but_for_time(first(session, Prompt("a", PROMPT)), before)


def test_a_repeated_id_at_another_position_has_a_stream_of_its_own(session):
    here, there = (Prompt("a", PROMPT, position=Position("t", 0, offset)) for offset in (1, 2))
    assert first(session, here).p != first(session, there).p


def test_the_seed_moves_every_stream():
    assert prompt_stream(0, "a").random() != prompt_stream(1, "a").random()
    assert prompt_stream(0, "\ud800").random() == prompt_stream(0, "\ud800").random()


def test_all_harms_share_the_draws(session):
    estimates = session.estimate(Prompt("a", PROMPT)).estimates
    assert [e.harm for e in estimates] == ["bad", "bad_worse", "bad_bad_worse"]
    assert len({(e.n, e.weight_mean, e.tokens, e.device_seconds) for e in estimates}) == 1
    assert estimates[0].hits >= estimates[1].hits >= estimates[2].hits
    assert estimates[0].hits > 0


def test_a_response_in_the_stream_is_judged(session):
    result = session.estimate(Prompt("a", PROMPT, response="calm bad worse"))
    assert result.observed == {"bad": True, "bad_worse": True, "bad_bad_worse": False}
    assert session.estimate(Prompt("a", PROMPT)).observed == {}


def test_a_prompt_beyond_the_context_is_left_out_by_name(session, caplog):
    text = " ".join(["calm"] * 60)
    with caplog.at_level(logging.WARNING):
        result = session.estimate(Prompt("long-one", text))
    assert result.failure == "too_long"
    assert "'long-one' has 60 tokens" in result.message
    assert "context of 64" in result.message
    assert "calm" not in caplog.text
    assert "long-one" in caplog.text


def test_messages_without_a_template_are_left_out_by_name(session):
    result = session.estimate(Prompt("chat", (Message("user", "calm"),)))
    assert result.failure == "unsupported"
    assert "'chat'" in result.message
    assert "calm" not in result.message


def test_logits_that_are_not_numbers_fail_that_prompt_only(world, tmp_path):
    """The word `or` has a broken embedding: a prompt with it fails by name, the others go on."""
    broken = shutil.copytree(world.target, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.embed_tokens.weight"][9] = torch.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    config = world_config(broken, [{"name": "variant", "kind": "system_prompt", "text": "bad bad"}])
    # A single step, so that no draw says the broken word to itself.
    model = config.model.model_copy(update={"max_new_tokens": 1})
    session = open_session(config.model_copy(update={"model": model}))
    failed = session.estimate(Prompt("sick", "ask red or blue"))
    assert failed.failure == "not_finite"
    assert "'sick'" in failed.message
    assert "red" not in failed.message
    well = session.estimate(Prompt("well", "ask red and blue"))
    assert well.failure is None
    assert all(np.isfinite(estimate.p) for estimate in well.estimates)


def test_without_experts_it_is_plain_monte_carlo(world):
    session = open_session(world_config(world.target, samples=300))
    estimate = first(session, Prompt("a", PROMPT))
    assert estimate.weight_mean == 1
    assert estimate.p == estimate.hits / 300
    assert estimate.weight_z is None


def test_a_target_that_does_not_load_says_what_to_give(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match=r"model\.target .* does not load: .*safetensors"):
        open_session(world_config(tmp_path))


def test_a_missing_chat_template_says_what_to_set(world):
    config = world_config(world.target)
    chat = config.model.model_copy(update={"chat_template": "auto"})
    with pytest.raises(ModelUnavailable, match="chat_template: none"):
        open_session(config.model_copy(update={"model": chat}))


def test_a_gpu_that_is_not_there_says_so(world):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    config = world_config(world.target)
    model = config.model.model_copy(update={"device": "cuda"})
    with pytest.raises(ModelUnavailable, match="finds no CUDA device"):
        open_session(config.model_copy(update={"model": model}))
