"""Plans: on hits made by hand, and on hits of a tiny model that are scored anew."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from support.estimates import world_config
from support.worlds import PROMPT

from riskmon.config import EstimateConfig
from riskmon.errors import PromptUnsupported
from riskmon.estimate.calibrate.examples import mark_of
from riskmon.estimate.opening import open_session
from riskmon.estimate.planning import Planner
from riskmon.estimate.proposals import Proposal, first_mixture, voices_of
from riskmon.records import Hit, Message, Prompt, Stratum

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHAT, MAIL, OTHER = (Stratum((("route", route),)) for route in ("chat", "mail", "other"))
CAP = 4
VOICES = voices_of([(0.5, 1.0), (1.0,)])  # target, persona at two strengths, lora


def planner_of(fitted=frozenset(), **config):
    settings = EstimateConfig(**{"windows": ((0, None),), "defensive_share": 0.1, **config})
    return Planner(VOICES, ["target", "persona", "lora"], lambda: "now", settings, CAP, fitted)


def hit(stratum=CHAT, favours=3, *, voices="now", weight=1e-4, harm="h", tokens=(6, 7)):
    """A hit that one voice says two nats more readily than the target, and the others two nats less."""
    log_probs = np.full((len(VOICES), len(tokens)), -4.0, dtype=np.float32)
    log_probs[0] = -3.0
    log_probs[favours] = -2.0
    return Hit(Prompt("p", "text", stratum), harm, tokens, weight, False, voices, log_probs)


def no_score(prompt, answers):
    raise AssertionError("nothing had to be scored")


def share_of(mixture, voice):
    pairs = zip(mixture.proposals, mixture.shares, strict=True)
    return float(sum(share for proposal, share in pairs if proposal.voice == voice))


def test_it_begins_with_every_voice_in_every_window():
    planner = planner_of(windows=((0, 2), (0, None)))
    expected = first_mixture(4, [(0, 2), (0, None)], CAP, 0.1)
    for stratum in (CHAT, Stratum()):
        assert planner.mixture(stratum).proposals == expected.proposals
        np.testing.assert_array_equal(planner.mixture(stratum).shares, expected.shares)


def test_a_cold_start_keeps_the_first_plan_and_says_so():
    planner = planner_of()
    before = planner.mixture(CHAT)
    (plan,) = planner.replan([], no_score, NOW)
    assert planner.mixture(CHAT) is before
    assert (plan.stratum, plan.made_at, plan.hits, plan.effective_hits) == (None, NOW, 0, 0.0)
    assert plan.gain_nats is None
    assert plan.reason == "no hits yet: every voice in every configured window"
    assert [(m.expert, m.strength, m.start, m.stop) for m in plan.members] == [
        ("target", 1.0, 0, CAP),
        ("persona", 0.5, 0, CAP),
        ("persona", 1.0, 0, CAP),
        ("lora", 1.0, 0, CAP),
    ]
    assert [m.share for m in plan.members] == pytest.approx([0.1, 0.3, 0.3, 0.3])


def test_each_stratum_with_hits_gets_a_plan_of_its_own_and_the_others_the_shared_one():
    planner = planner_of()
    hits = [hit(CHAT, favours=3)] * 40 + [hit(MAIL, favours=1)] * 20
    plans = planner.replan(hits, no_score, NOW)
    assert [plan.stratum for plan in plans] == [None, CHAT, MAIL]
    assert [plan.hits for plan in plans] == [60, 40, 20]
    shared, chat, mail = (planner.mixture(stratum) for stratum in (OTHER, CHAT, MAIL))
    assert share_of(chat, 3) > share_of(shared, 3) > share_of(mail, 3)
    assert share_of(mail, 1) > share_of(shared, 1) > share_of(chat, 1)
    assert share_of(chat, 3) > 0.6
    assert share_of(mail, 1) > 0.5
    for plan, mixture in zip(plans, (shared, chat, mail), strict=True):
        assert [member.share for member in plan.members] == mixture.shares.tolist()


def test_a_stratum_with_few_hits_of_its_own_learns_from_the_others():
    planner = planner_of()
    first = planner.mixture(MAIL)
    planner.replan([hit(CHAT, favours=3)] * 60 + [hit(MAIL, favours=1)], no_score, NOW)
    shared, mail = planner.mixture(OTHER), planner.mixture(MAIL)
    assert share_of(mail, 3) > share_of(first, 3) + 0.1
    assert share_of(mail, 1) > share_of(shared, 1)


def test_a_plan_names_experts_strengths_windows_and_what_it_gained():
    planner = planner_of()
    plans = planner.replan([hit(favours=1)] * 30, no_score, NOW)
    for plan in plans:
        best = max(plan.members[1:], key=lambda member: member.share)
        # A hit of two tokens is reached by every window that holds them; the first plan has the longest.
        assert (best.expert, best.strength, best.start) == ("persona", 0.5, 0)
        assert best.stop >= 2
        assert (plan.members[0].expert, plan.members[0].strength) == ("target", 1.0)
        assert sum(member.share for member in plan.members) == pytest.approx(1)
        assert plan.effective_hits == pytest.approx(30)
        assert plan.gain_nats > 0.3
        assert plan.reason == (
            f"chosen from 30 hits, worth 30; their mean log-density is {plan.gain_nats:+.2f} nats "
            "against the first plan"
        )


def test_without_adaptation_the_first_plan_stays_whatever_the_hits():
    planner = planner_of(adapt=False)
    before = planner.mixture(CHAT)
    (plan,) = planner.replan([hit()] * 50, no_score, NOW)
    assert planner.mixture(CHAT) is before
    assert (plan.hits, plan.gain_nats) == (0, None)
    assert plan.reason == "estimate.adapt is false: every voice in every configured window"


def test_a_plan_is_made_from_the_hits_given_and_not_from_the_plan_before():
    planner = planner_of()
    first = planner.replan([hit()] * 50, no_score, NOW)
    planner.replan([hit(MAIL, favours=1)] * 50, no_score, NOW)
    assert planner.mixture(CHAT) is planner.mixture(OTHER)
    assert planner.replan([hit()] * 50, no_score, NOW) == first


def test_the_pilot_s_hits_move_one_prompt_s_plan_and_no_other():
    planner = planner_of()
    before = planner.mixture(CHAT)
    own = planner.after_pilot(before, [hit(favours=1)] * 8)
    assert share_of(own, 1) > share_of(before, 1) + 0.1
    assert planner.after_pilot(before, []) is before
    assert planner.mixture(CHAT) is before


# ---- hits that a variant was fitted to


def test_a_hit_that_a_variant_was_fitted_to_chooses_no_plan():
    learnt, new = hit(voices="before"), hit(voices="before", tokens=(7, 7))
    elsewhere = replace(learnt, prompt=Prompt("q", "text", CHAT))  # the same words to another prompt

    def score(prompt, answers):
        return np.full((len(VOICES), len(answers), CAP), -1.5)

    planner = planner_of(fitted=frozenset({mark_of("p", (6, 7))}))
    assert [(h.prompt.id, h.tokens) for h in planner.scored([learnt, new, elsewhere], score)] == [
        ("p", (7, 7)),
        ("q", (6, 7)),
    ]
    (plan, *_) = planner.replan([learnt], no_score, NOW)
    assert plan.hits == 0
    assert plan.reason.startswith("no hits yet")
    assert "1 more are left out" in plan.reason


def test_a_hit_drawn_since_the_fit_counts_even_if_the_variant_knows_it():
    planner = planner_of(fitted=frozenset({mark_of("p", (6, 7))}))
    assert planner.scored([hit()], no_score)[0].tokens == (6, 7)


# ---- hits of other voices


def test_only_hits_of_other_voices_and_incomplete_ones_are_scored_and_each_prompt_at_once():
    asked = []

    def score(prompt, answers):
        asked.append((prompt.id, list(answers)))
        return np.full((len(VOICES), len(answers), CAP), -1.5)

    ready, stale, longer = hit(), hit(voices="old"), hit(voices="old", tokens=(6, 6, 7))
    stale = replace(stale, log_probs=np.zeros((2, 2), dtype=np.float32))  # two voices there were then
    holed = hit()
    holed.log_probs[2, 1] = np.nan
    elsewhere = replace(stale, prompt=Prompt("q", "other"))
    scored = planner_of().scored([stale, ready, holed, longer, elsewhere], score)
    assert sorted(asked) == [("p", [(6, 7), (6, 7), (6, 6, 7)]), ("q", [(6, 7)])]
    assert [h.tokens for h in scored] == [(6, 7), (6, 7), (6, 7), (6, 6, 7), (6, 7)]
    assert scored[1] is ready
    for fresh in (scored[0], *scored[2:]):
        assert fresh.voices == "now"
        assert fresh.log_probs.dtype == np.float32
        np.testing.assert_array_equal(fresh.log_probs, np.full((len(VOICES), len(fresh.tokens)), -1.5))


def test_what_cannot_be_scored_any_more_is_left_out():
    """A prompt that has no rendering, an answer beyond the cap, an answer the target can no longer give."""
    unreadable, unsaid = Prompt("chat", (Message("user", "x"),)), Prompt("unsaid", "text")

    def score(prompt, answers):
        if prompt is unreadable:
            raise PromptUnsupported(prompt.id, "no template")
        scores = np.full((len(VOICES), len(answers), CAP), -1.0)
        scores[0, :, 1] = -np.inf if prompt is unsaid else -1.0
        return scores

    stale = hit(voices="old")
    hits = [
        replace(stale, prompt=unreadable),
        hit(tokens=(6, 7, 6, 7, 6)),
        replace(stale, tokens=(6, 7, 6, 7, 6)),
        replace(stale, prompt=unsaid),
        stale,
    ]
    (left,) = planner_of().scored(hits, score)
    assert left.prompt is stale.prompt
    assert left.tokens == (6, 7)


@pytest.fixture(scope="module")
def session(world):
    return open_session(world_config(world.target, world.experts, windows=((0, 2), (0, None))))


@pytest.fixture(scope="module")
def hits(session):
    results = [session.estimate(Prompt(f"p{i}", PROMPT, (CHAT, MAIL)[i % 2]), keep=True) for i in range(6)]
    return [hit for result in results for hit in result.hits]


def test_rescored_hits_equal_those_scored_when_drawn(session, hits):
    assert len(hits) > 100
    stale = [replace(one, voices="old", log_probs=np.zeros((1, len(one.tokens)), np.float32)) for one in hits]
    again = session.planner.scored(stale, session.engine.score)
    assert len(again) == len(hits)
    for fresh, first in zip(again, hits, strict=True):
        assert fresh.voices == session.planner.fingerprint
        np.testing.assert_allclose(fresh.log_probs, first.log_probs, atol=5e-5)


def test_hits_of_a_model_are_complete_and_of_the_present_voices(session, hits):
    for one in hits:
        assert one.voices == session.planner.fingerprint
        assert one.log_probs.shape == (len(session.engine.voices), len(one.tokens))
        assert np.isfinite(one.log_probs).all()
        assert one.weight > 0


def test_a_prompt_that_cannot_be_rendered_any_more_is_left_out_by_the_session(session, hits):
    """It was stored under a chat template that is no longer configured; or is now too long for the model."""
    chat = Prompt("chat", (Message("user", "calm"),))
    long = Prompt("long", " ".join(["calm"] * 60))
    stale = [replace(one, voices="old") for one in hits[:30]]
    plan, *_ = session.replan([*stale, *(replace(one, prompt=p) for one in stale for p in (chat, long))], NOW)
    assert plan.hits == 30


def test_replanning_from_a_model_s_hits_raises_their_density(session, hits):
    plans = session.replan(hits, NOW)
    assert [plan.stratum for plan in plans] == [None, CHAT, MAIL]
    assert plans[0].hits == len(hits) == plans[1].hits + plans[2].hits
    assert 0 < plans[0].effective_hits < len(hits)
    for plan in plans:
        assert plan.gain_nats > 0.1
        assert {member.expert for member in plan.members} == {"target", "unsafe"}
        assert plan.members[0].share >= session.config.defensive_share
    mixture = session.planner.mixture(CHAT)
    assert mixture.proposals[0] == Proposal(0, 0, 5)
    chosen = [session.engine.voices[proposal.voice].strength for proposal in mixture.proposals]
    assert [member.strength for member in plans[1].members] == chosen
    estimates = session.estimate(Prompt("after", PROMPT, CHAT)).estimates
    assert estimates[0].hits > 0
