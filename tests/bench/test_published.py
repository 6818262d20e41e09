"""The published method as the benchmark runs it: unbiased, honest about its cost, and what its grid does."""

from __future__ import annotations

import numpy as np
import pytest
from support.estimates import world_config
from support.worlds import EARLY, END, PROMPT, end_probability, make_world, nudge, tiny_llama

from riskmon.bench.published import SHARES, PublishedMethod, TokenMixture, choose_setting, log_density
from riskmon.estimate.opening import open_session
from riskmon.records import Prompt

ASKED = Prompt("asked", PROMPT)
BUDGET = 2000
RUNS = 50


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """A world whose variant ends its answers early, the method on it, and the exact p of the first harm."""
    world = make_world(tmp_path_factory.mktemp("early"), "early", 0, {"early": EARLY})
    config = world_config(world.target, world.experts)
    return world, PublishedMethod(open_session(config), config), world.truth((6,))


def test_it_is_unbiased_with_a_variant_that_ends_early(early):
    world, method, truth = early
    assert end_probability(nudge(tiny_llama(0), EARLY)) > end_probability(world.model) + 0.04
    found = [method.estimate(ASKED, BUDGET, np.random.default_rng([1, i])).p for i in range(RUNS)]
    error = np.std(found, ddof=1) / np.sqrt(RUNS)
    assert error < 0.08 * truth
    assert abs(np.mean(found) - truth) < 3 * error


def test_without_the_end_ratio_it_would_be_biased(early):
    """The world would notice: weights without the ratio of the end token do not average to one."""
    _, method, _ = early
    n = 20_000
    draws = method.draw(method.open(ASKED), TokenMixture(0.75, 5), n, np.random.default_rng(2))
    last = (np.arange(n), draws.lengths - 1)
    mixed = np.logaddexp(np.log(0.25) + draws.target[last], np.log(0.75) + draws.variant[last])
    end_ratio = np.where(draws.tokens[last] == END, np.exp(draws.target[last] - mixed), 1.0)
    right = draws.weights
    wrong = right / end_ratio
    assert abs(right.mean() - 1) < 3 * right.std() / np.sqrt(n)
    assert abs(wrong.mean() - 1) > 6 * wrong.std() / np.sqrt(n)


@pytest.mark.parametrize("switch", [1, 3, 5])
def test_weights_average_to_one_and_stay_under_their_bound(early, switch):
    _, method, _ = early
    draws = method.draw(method.open(ASKED), TokenMixture(0.5, switch), 4000, np.random.default_rng(3))
    weights = draws.weights
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights))
    assert weights.max() <= 2.0**switch * (1 + 1e-5)
    # Behind the switch the target speaks, and nothing else is run.
    assert not draws.variant[:, switch:].any()
    assert draws.forward_tokens == (draws.lengths - 1).sum() + (np.minimum(draws.lengths, switch) - 1).sum()


def test_the_grid_takes_the_setting_of_lowest_cross_entropy(early):
    _, method, _ = early
    pilot = method.draw(method.open(ASKED), TokenMixture(0.5, 5), 600, np.random.default_rng(4))
    harmful = method.harmful(ASKED, pilot)
    assert harmful.sum() > 10
    chosen = choose_setting(pilot, harmful, TokenMixture(0.5, 5))

    def loss(setting: TokenMixture) -> float:
        return -float((pilot.weights * harmful) @ log_density(pilot, setting))

    others = [TokenMixture(share, switch) for share in SHARES for switch in (1, 2, 3, 4, 5)]
    assert chosen in others
    assert all(loss(chosen) <= loss(other) for other in others)
    assert loss(chosen) < loss(TokenMixture(0.1, 1))


def test_a_pilot_without_harm_keeps_its_setting(early):
    _, method, _ = early
    before = TokenMixture(0.5, 5)
    pilot = method.draw(method.open(ASKED), before, 20, np.random.default_rng(5))
    assert choose_setting(pilot, np.zeros(20), before) == before


def test_it_spends_the_budget_with_the_pilot_and_the_prompt_counted(early):
    _, method, _ = early
    spent = [method.estimate(ASKED, BUDGET, np.random.default_rng([6, i])).tokens for i in range(20)]
    assert abs(np.mean(spent) - BUDGET) < 0.1 * BUDGET
