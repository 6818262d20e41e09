"""Several prompts estimated together: what each would have got alone, faults included."""

import dataclasses

import pytest
from support.estimates import many_experts, world_config
from support.worlds import PROMPT

from riskmon.estimate.opening import open_session
from riskmon.records import Prompt

PROMPTS = [
    Prompt("one", PROMPT),
    Prompt("too long", " ".join(["red"] * 90)),
    Prompt("two", "good calm", response="bad"),
    Prompt("three", "ask blue or red and bad"),
]


@pytest.fixture(scope="module")
def config(world):
    return world_config(world.target, many_experts(world.experts["unsafe"]), samples=120)


def test_estimates_together_equal_estimates_alone(config):
    """A pilot, plans of their own from its hits, a main stage; 5e-5 in a log-prob moves no draw."""
    alone = open_session(config)
    single = [alone.estimate(prompt, keep=True) for prompt in PROMPTS]
    together = open_session(config).estimate_many(PROMPTS, keep=True)
    assert [result.failure for result in together] == [None, "too_long", None, None]
    for one, other in zip(single, together, strict=True):
        assert other.prompt is one.prompt
        assert [hit.tokens for hit in other.hits] == [hit.tokens for hit in one.hits]
        for first, second in zip(one.estimates, other.estimates, strict=True):
            assert second.p == pytest.approx(first.p, rel=1e-3)
            assert second.upper_bound == pytest.approx(first.upper_bound, rel=1e-3)
            assert (second.n, second.hits, second.tokens) == (first.n, first.hits, first.tokens)


def test_what_was_kept_can_be_refined(config):
    session = open_session(config)
    results = session.estimate_many([PROMPTS[0], PROMPTS[2]], keep=True)
    refined = session.refine(PROMPTS[2], 60)
    assert refined.estimates[0].n == results[1].estimates[0].n + 60


def test_the_cost_of_a_batch_is_shared_out(config):
    """Device seconds go by tokens, so that they add up over prompts to what the batch took."""
    session = open_session(config)
    results = session.estimate_many([dataclasses.replace(PROMPTS[0], id=f"p{i}") for i in range(3)])
    seconds = [result.estimates[0].device_seconds for result in results]
    tokens = [result.estimates[0].tokens for result in results]
    assert min(seconds) > 0
    assert max(tokens) < 2 * min(tokens)
