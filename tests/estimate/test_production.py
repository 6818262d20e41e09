"""Production responses as witnesses of coverage, against a model whose every answer can be counted."""

from datetime import UTC, datetime

import numpy as np
import pytest
from support.estimates import regex_harm, world_config
from support.worlds import BAD, END, PROMPT, STEPS, WORDS, make_world, tokenizer_of

from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import count_draws, log_densities
from riskmon.estimate.session import Session
from riskmon.records import Prompt, Verdicts
from riskmon.records.observed import Observation, ResponseVerdict
from riskmon.statistics import clopper_pearson

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RED = WORDS.index("red")
COVERED, MISSED = ResponseVerdict(True, False), ResponseVerdict(True, True)


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A variant that says "bad" more often, and the other harm, "red red", hardly ever."""
    return make_world(tmp_path_factory.mktemp("blind"), "blind", 3, {"blind": {BAD: 0.6, RED: -2.0}})


def opened(world, harms=(("misses", "red red"),), **changes):
    settings = world_config(
        world.target, world.experts, harms=[regex_harm(name, pattern) for name, pattern in harms]
    )
    return open_session(settings.model_copy(update=changes))


@pytest.fixture(scope="module")
def session(blind):
    return opened(blind)


def text_of(tokens):
    return tokenizer_of().decode(list(tokens), skip_special_tokens=True)


def exact(world, session, pattern):
    """Answers that hold a pattern, their probabilities, and which of them the audit must call uncovered."""
    answers, log_p = world.answers
    chosen = [
        i
        for i, tokens in enumerate(answers)
        if any(tuple(tokens[j : j + len(pattern)]) == pattern for j in range(len(tokens)))
    ]
    mixture = session.planner.mixture(Prompt("exact", PROMPT).stratum)
    counts = count_draws(mixture, session.config.samples_per_prompt, session.config.defensive_share)
    log_q = log_densities(
        session.engine.score(Prompt("exact", PROMPT), [answers[i] for i in chosen]), mixture.proposals
    )
    log_weights = log_p[chosen].numpy() - np.logaddexp.reduce(
        log_q + np.log(counts / counts.sum())[:, None], axis=0
    )
    return (
        [answers[i] for i in chosen],
        log_p[chosen].exp().numpy(),
        log_weights >= np.log(0.5 * counts.sum() / counts[0]),
    )


def observe(session, text, name="p"):
    return session.observe(Prompt(name, PROMPT, response=text))


def test_each_harmful_answer_is_judged_covered_or_not_as_its_exact_weight_says(blind):
    session = opened(blind, (("bad", "bad"),))
    answers, _, missed = exact(blind, session, (BAD,))
    rng = np.random.default_rng(1)
    some = [int(i) for kind in (missed, ~missed) for i in rng.choice(np.flatnonzero(kind), 50, replace=False)]
    found = [observe(session, text_of(answers[i])).verdicts["bad"] for i in some]
    assert [verdict.uncovered for verdict in found] == missed[some].tolist()
    assert all(verdict.harmful for verdict in found)


def test_harm_that_the_proposals_miss_shows_in_production_at_its_own_rate(blind, session):
    """What two thousand responses show of it, beside the exact mass."""
    answers, log_p = blind.answers
    _, p, missed = exact(blind, session, (RED, RED))
    truth = p[missed].sum()
    assert 0.004 < truth < 0.2
    rng = np.random.default_rng(7)
    drawn = rng.choice(len(answers), 2000, p=log_p.exp().numpy() / log_p.exp().sum().item())
    seen = {i: observe(session, text_of(answers[i])).verdicts["misses"] for i in set(drawn.tolist())}
    hits = sum(bool(seen[i].uncovered) for i in drawn.tolist())
    low, high = clopper_pearson(hits, len(drawn), 0.999)
    assert low <= truth <= high
    assert hits > 0


def test_harm_that_the_proposals_reach_is_no_gap_and_harmless_is_none(blind):
    session = opened(blind, (("bad", "bad"), ("misses", "red red")))
    assert observe(session, "bad bad bad").verdicts == {
        "bad": COVERED,
        "misses": ResponseVerdict(False, False),
    }
    both = observe(session, "red red calm red red").verdicts
    assert both == {"bad": ResponseVerdict(False, False), "misses": MISSED}


def test_with_the_target_alone_there_is_nothing_to_audit(blind):
    session = open_session(world_config(blind.target, harms=[regex_harm("misses", "red red")]))
    assert observe(session, "red red").verdicts == {"misses": ResponseVerdict(True, None)}
    assert observe(session, "calm").verdicts == {"misses": ResponseVerdict(False, None)}


def test_harm_behind_the_token_cap_is_judged_and_is_no_gap(session):
    late = " ".join(["calm"] * STEPS + ["red", "red"])
    assert observe(session, late).verdicts == {"misses": COVERED}
    early = " ".join(["red"] * STEPS + ["calm"])
    assert observe(session, early).verdicts == {"misses": MISSED}
    # Exactly as long as the cap: there is no end that was reached.
    assert observe(session, " ".join(["red"] * STEPS)).verdicts == {"misses": MISSED}


def test_what_cannot_be_scored_counts_as_uncovered(session):
    """Left out, harmful ones would go and harmless ones stay."""
    long = Prompt("long", " ".join(["calm"] * 60), response="red red")
    assert session.observe(long).verdicts == {"misses": MISSED}
    assert session.observe(long).hits == ()


def test_an_answer_outside_of_the_target_s_reach_counts_as_uncovered(blind):
    settings = world_config(blind.target, blind.experts, harms=[regex_harm("misses", "red red")])
    sampler = settings.model.sampler.model_copy(update={"top_k": 1})
    session = open_session(
        settings.model_copy(update={"model": settings.model.model_copy(update={"sampler": sampler})})
    )
    found = observe(session, "red red calm")
    assert found.verdicts == {"misses": MISSED}
    assert found.hits == ()


def test_responses_choose_proposals_only_where_they_are_the_target_s(blind):
    assert observe(opened(blind), "red red calm").hits == ()
    told = world_config(blind.target, blind.experts, harms=[regex_harm("misses", "red red")])
    traffic = {"jsonl": "t.jsonl", "responses": {"from_target": True}}
    session = open_session(
        type(told).model_validate({**told.model_dump(exclude_unset=True), "traffic": traffic})
    )
    prompt = Prompt("p", PROMPT, response="red red calm")
    [hit] = session.observe(prompt).hits
    words = [WORDS.index(word) for word in ("red", "red", "calm")]
    assert (hit.harm, hit.tokens, hit.uncovered) == ("misses", (*words, END), True)
    assert hit.prompt.response is None
    assert hit.voices == session.planner.fingerprint
    # Nearly the largest share of an estimate that one draw can have.
    assert 0.5 / 20 <= hit.weight <= 1 / 20
    before = session.planner.mixture(prompt.stratum)
    session.replan([hit] * 40, NOW)
    after = session.planner.mixture(prompt.stratum)
    assert after.shares[0] > before.shares[0]  # the blind variant loses draws to the target


def test_where_no_judge_can_be_reached_nothing_is_said(blind):
    settings = world_config(blind.target, blind.experts, harms=[regex_harm("misses", "red red")])
    opened = open_session(settings)
    session = Session(settings, opened.model, opened.engine, (Silent(),), opened.contrasts)
    assert observe(session, "red red calm") == Observation(
        Prompt("p", PROMPT, response="red red calm"), {}, away=True
    )


class Silent:
    """A judge behind an endpoint that is down."""

    id = "silent"

    def judge(self, prompt, outputs):
        return Verdicts(np.full(len(outputs), np.nan))


def test_no_text_of_a_response_is_in_a_repr(session):
    assert "red red" not in repr(observe(session, "red red calm"))
