"""Prompts through a session in chunks: in order, lazily, and each as it would be alone."""

import pytest
from support.estimates import many_experts, world_config
from support.worlds import PROMPT

from riskmon.estimate.opening import open_session
from riskmon.estimate.together import estimate_each
from riskmon.records import Prompt

PROMPTS = [
    Prompt("one", PROMPT),
    Prompt("two", "good calm"),
    Prompt("too long", " ".join(["red"] * 90)),
    Prompt("three", "ask blue or red and bad"),
    Prompt("four", "red and blue"),
]


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, many_experts(world.experts["unsafe"]), samples=100, batch_rows=300)


def test_results_come_in_order_and_as_they_would_alone(config):
    session, alone = open_session(config), open_session(config)
    results = list(estimate_each(session, PROMPTS))
    assert [result.prompt.id for result in results] == [prompt.id for prompt in PROMPTS]
    assert [result.failure for result in results] == [None, None, "too_long", None, None]
    for result, prompt in zip(results, PROMPTS, strict=True):
        for other, one in zip(result.estimates, alone.estimate(prompt).estimates, strict=True):
            assert (other.hits, other.tokens) == (one.hits, one.tokens)
            assert other.p == pytest.approx(one.p, rel=1e-3)


def test_the_first_goes_alone_and_then_as_many_as_fill_the_batch(config):
    session = open_session(config)
    assert session.at_once == 1
    taken = []

    def noted():
        for prompt in PROMPTS:
            taken.append(prompt.id)
            yield prompt

    results = estimate_each(session, noted())
    next(results)
    assert taken == ["one"]
    assert session.at_once == 3
    next(results)
    assert taken == ["one", "two", "too long", "three"]


def test_further_draws_together_equal_those_made_one_by_one(config):
    together, alone = open_session(config), open_session(config)
    asked = [(PROMPTS[3], 40), (PROMPTS[2], 40), (PROMPTS[0], 90)]
    for session in (together, alone):
        session.estimate_many(PROMPTS, keep=True)
    results = together.refine_many(asked)
    assert results[1] is None  # it has no first estimate
    for result, (prompt, draws) in ((results[0], asked[0]), (results[2], asked[2])):
        own = alone.refine(prompt, draws)
        assert result.prompt is prompt
        assert [hit.tokens for hit in result.hits] == [hit.tokens for hit in own.hits]
        for other, one in zip(result.estimates, own.estimates, strict=True):
            assert (other.n, other.hits, other.tokens) == (one.n, one.hits, one.tokens)
            assert other.p == pytest.approx(one.p, rel=1e-3)


def test_together_they_take_fewer_forward_passes(config):
    session = open_session(config)
    passes = []
    session.model.module.register_forward_hook(lambda *_: passes.append(1))
    well = [PROMPTS[0], PROMPTS[1], PROMPTS[3]]
    for prompt in well:
        session.estimate(prompt)
    alone = len(passes)
    session.estimate_many([Prompt(f"{prompt.id} again", prompt.content) for prompt in well])
    assert len(passes) - alone < 0.6 * alone
