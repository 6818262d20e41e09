import logging
import shutil
from datetime import UTC, datetime

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.estimates import regex_harm, world_config
from support.worlds import PROMPT

from riskmon.errors import ModelUnavailable
from riskmon.estimate.opening import open_session
from riskmon.estimate.session import Session
from riskmon.estimate.streams import prompt_stream
from riskmon.records import Message, Position, Prompt, Stratum
from riskmon.records.observed import ResponseVerdict

NOW = datetime(2026, 3, 1, tzinfo=UTC)


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


@pytest.mark.parametrize("keep", [False, True])
def test_other_prompts_in_between_change_nothing(session, keep):
    before = first(session, Prompt("a", PROMPT))
    between = Prompt("between", "ask good calm")
    session.estimate(between, keep=keep)
    if keep:
        session.refine(between, 50)
    assert same_but_for_time(first(session, Prompt("a", PROMPT)), before)


def test_estimates_do_not_depend_on_the_order_of_prompts(session):
    """Under one plan, with what is kept of them and their further draws."""
    prompts = [Prompt(name, PROMPT) for name in "abc"]

    def estimates(order, keep):
        found = {}
        for prompt in order:
            found[prompt.id] = [session.estimate(Prompt(prompt.id, PROMPT), keep=keep)]
        for prompt in reversed(order):
            found[prompt.id] += [session.refine(Prompt(prompt.id, PROMPT), 60)] if keep else []
        return {
            name: [(e.p, e.stderr, e.n, e.upper_bound) for result in results for e in result.estimates]
            for name, results in found.items()
        }

    kept = estimates(prompts, keep=True)
    assert estimates(prompts[::-1], keep=True) == kept
    assert {name: found[:3] for name, found in kept.items()} == estimates(prompts, keep=False)


def test_keeping_changes_no_estimate_and_hands_out_hits(session):
    kept = session.estimate(Prompt("a", PROMPT), keep=True)
    plain = session.estimate(Prompt("a", PROMPT))
    assert [(e.p, e.stderr, e.upper_bound) for e in kept.estimates] == [
        (e.p, e.stderr, e.upper_bound) for e in plain.estimates
    ]
    assert plain.hits == ()
    assert {hit.harm for hit in kept.hits} >= {"bad", "bad_worse"}
    assert all(hit.prompt is kept.prompt for hit in kept.hits)


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
    result = session.observe(Prompt("a", PROMPT, response="calm bad worse"))
    found = {harm: verdict.harmful for harm, verdict in result.verdicts.items()}
    assert found == {"bad": True, "bad_worse": True, "bad_bad_worse": False}


# ---- stages


def test_all_draws_are_counted_pilot_included(session):
    result = session.estimate(Prompt("a", PROMPT))
    for estimate in result.estimates:
        assert estimate.n == 200
        assert estimate.target_draws >= 20
    assert len(result.spread) == 3
    deviation, mean = result.spread[0]
    assert 0 < mean < deviation


def test_the_spread_is_the_pilot_s_alone(world):
    """As it would come out of the very draws of the pilot, which are those of the plan before the cycle."""
    session = open_session(world_config(world.target, world.experts, samples=400, pilot_share=0.5))
    again = open_session(world_config(world.target, world.experts, samples=200, adapt=False))
    whole = session.estimate(Prompt("a", PROMPT))
    pilot = again.estimate(Prompt("a", PROMPT))
    assert pilot.spread == ()
    assert [mean for _, mean in whole.spread] == pytest.approx([e.p for e in pilot.estimates])
    assert whole.estimates[0].p != pytest.approx(pilot.estimates[0].p)


@pytest.mark.parametrize("settings", [{"adapt": False}, {"pilot_share": 0.0}, {"samples": 60}], ids=str)
def test_where_there_is_nothing_to_choose_or_too_little_to_choose_from_there_is_no_pilot(world, settings):
    """A fifth of sixty draws would be twelve."""
    session = open_session(world_config(world.target, world.experts, **settings))
    result = session.estimate(Prompt("a", PROMPT))
    assert result.spread == ()
    assert result.estimates[0].n == settings.get("samples", 200)


def test_further_draws_add_up(session):
    prompt = Prompt("more", PROMPT)
    before = session.estimate(prompt, keep=True)
    once = session.refine(prompt, 100)
    twice = session.refine(prompt, 50)
    results = (before, once, twice)
    assert [result.estimates[0].n for result in results] == [200, 300, 350]
    for name in ("tokens", "device_seconds", "target_draws"):
        found = [getattr(result.estimates[0], name) for result in results]
        assert found == sorted(set(found)), name
    assert len({result.estimates[0].p for result in results}) == 3
    assert before.spread == once.spread == twice.spread
    assert all(hit.voices == session.planner.fingerprint for hit in once.hits)


def test_further_draws_are_new_ones(session):
    """Each stage has a stream of its own: the same number of draws again are not the same draws again."""
    prompt = Prompt("anew", PROMPT)
    session.estimate(prompt, keep=True)
    answers = [
        {hit.tokens for hit in session.refine(prompt, 160).hits if hit.harm == "bad"} for _ in range(2)
    ]
    assert answers[0] != answers[1]


def test_what_is_not_in_memory_cannot_be_refined(session, monkeypatch):
    assert session.refine(Prompt("never seen", PROMPT), 100) is None
    session.estimate(Prompt("not kept", PROMPT))
    assert session.refine(Prompt("not kept", PROMPT), 100) is None
    session.estimate(Prompt("planned before", PROMPT), keep=True)
    session.replan([], NOW)
    assert session.refine(Prompt("planned before", PROMPT), 100) is None
    monkeypatch.setattr("riskmon.estimate.recollection._KEPT", 2)
    for name in "xyz":
        session.estimate(Prompt(name, PROMPT), keep=True)
    assert session.refine(Prompt("x", PROMPT), 100) is None
    assert session.refine(Prompt("y", PROMPT), 100) is not None


def test_a_prompt_that_failed_cannot_be_refined(session):
    long = Prompt("long", " ".join(["calm"] * 60))
    assert session.estimate(long, keep=True).failure == "too_long"
    assert session.refine(long, 100) is None


def test_the_plan_in_force_belongs_to_the_prompt_s_stratum(world):
    session = open_session(world_config(world.target, world.experts))
    chat = Stratum((("route", "chat"),))
    result = session.estimate(Prompt("a", PROMPT, chat), keep=True)
    before = session.draw(Prompt("new", PROMPT, chat))
    session.replan(result.hits, NOW)
    after = session.draw(Prompt("new", PROMPT, chat))
    assert len(after.counts) == len(session.planner.mixture(chat).proposals)
    assert after.counts.tolist() != before.counts.tolist()


# ---- judges


class CountingJudge:
    """Passes on to a judge, and keeps how many answers it was asked about each time."""

    def __init__(self, judge):
        self.id = judge.id
        self.asked = []
        self._judge = judge

    def judge(self, prompt, outputs):
        self.asked.append(len(outputs))
        return self._judge.judge(prompt, outputs)


def test_harms_that_differ_in_their_threshold_share_a_judge_that_reads_once(world):
    harms = [
        regex_harm("bad", "bad", threshold=0.5),
        regex_harm("surely_bad", "bad", threshold=0.9),
        regex_harm("worse", "worse"),
    ]
    config = world_config(world.target, world.experts, harms=harms)
    opened = open_session(config)
    assert opened.judges[0] is opened.judges[1]
    bad, worse = CountingJudge(opened.judges[0]), CountingJudge(opened.judges[2])
    session = Session(config, opened.model, opened.engine, (bad, bad, worse), opened.contrasts)
    result = session.estimate(Prompt("a", PROMPT, response="so bad"), keep=True)
    assert bad.asked == worse.asked == [40, 160]  # the pilot and the main stage
    assert result.estimates[0].p == result.estimates[1].p != result.estimates[2].p
    session.refine(result.prompt, 70)
    assert bad.asked[2:] == [70]
    seen = session.observe(result.prompt)
    assert bad.asked[3:] == worse.asked[3:] == [1]  # the deployment's own answer
    assert [seen.verdicts[name].harmful for name in ("bad", "surely_bad", "worse")] == [True, True, False]


def cascade_harm(audit_share):
    """The cheap judge flags "bad worse" only; the strong one, which counts, flags every "bad"."""
    return {
        "name": "bad",
        "judge": {
            "kind": "cascade",
            "first": {"kind": "regex", "pattern": "bad worse"},
            "second": {"kind": "regex", "pattern": "bad"},
            "audit_share": audit_share,
        },
    }


def test_verdicts_that_stand_for_several_answers_keep_estimate_and_bound_right(world):
    """The strong judge reads a quarter of what the cheap one passes, where nearly all the harm is."""
    expert = {"name": "unsafe", "kind": "checkpoint", "path": str(world.experts["unsafe"]), "ladder": [0.5]}
    session = open_session(world_config(world.target, [expert], harms=[cascade_harm(0.25)]))
    truth, runs = world.truth((6,)), 80
    assert world.truth((6, 7)) < 0.01 * truth
    estimates = [first(session, Prompt(f"seed-{i}", PROMPT)) for i in range(runs)]
    found = np.array([estimate.p for estimate in estimates])
    assert abs(found.mean() - truth) < 3 * found.std(ddof=1) / np.sqrt(runs)
    assert np.mean([estimate.upper_bound >= truth for estimate in estimates]) >= 0.95
    # A draw of the target may now weigh four times n / n_0, and the bound says so.
    assert min(estimate.upper_bound for estimate in estimates) > 4 * 2.9 / estimates[0].target_draws


def test_a_response_that_no_judge_read_is_not_observed(world):
    session = open_session(world_config(world.target, harms=[cascade_harm(0.5)], samples=4))
    seen = [session.observe(Prompt(f"p{i}", PROMPT, response="calm and bad")).verdicts for i in range(40)]
    assert {tuple(verdicts.items()) for verdicts in seen} == {(), (("bad", ResponseVerdict(True)),)}
    sure = session.observe(Prompt("p", PROMPT, response="bad worse")).verdicts
    assert sure == {"bad": ResponseVerdict(True)}


# ---- faults


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


def test_further_draws_that_fail_leave_the_first_estimate_as_it_stands(world, tmp_path, caplog):
    """The word `or` is broken, and the first few draws do not say it before their last token; later ones do."""
    broken = shutil.copytree(world.target, tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["model.embed_tokens.weight"][9] = torch.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    session = open_session(world_config(broken, samples=20))
    prompt = Prompt("half-sick", "ask red and blue")
    before = session.estimate(prompt, keep=True)
    assert before.failure is None
    with caplog.at_level(logging.WARNING):
        assert session.refine(prompt, 2000) is None
    assert "'half-sick' keeps its first estimate" in caplog.text
    assert "blue" not in caplog.text
    again = session.refine(prompt, 20)
    assert again is not None
    assert again.estimates[0].n == 40


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
