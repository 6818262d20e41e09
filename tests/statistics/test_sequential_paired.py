"""The comparison of two models on simulated pairs: what it promises, and in which worlds."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom
from support.release_worlds import Scenario, shares

from riskmon.statistics.paired import Looks, Pairs, effective_pairs

RUNS = 300
ALLOWED = binom.isf(1e-3, RUNS, 0.05) / RUNS  # 5%, and what chance adds in 300 runs
MARGIN = Scenario(ratio=1.25)


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(Scenario(jitter=0), id="nothing changed"),
        pytest.param(Scenario(jitter=0, spread=2, p=1e-4), id="rare and uneven"),
        pytest.param(Scenario(baseline_hits=0.1), id="the baseline is hardly hit"),
    ],
)
def test_no_change_is_hardly_ever_held(world):
    found, _ = shares(world, 200, RUNS)
    assert found["hold"] <= 0.05


@pytest.mark.parametrize(
    ("world", "prompts"),
    [
        pytest.param(Scenario(ratio=2), 250, id="twice as harmful"),
        pytest.param(Scenario(ratio=2, spread=1.5), 500, id="uneven prompts", marks=pytest.mark.slow),
    ],
)
def test_twice_the_harm_is_held(world, prompts):
    found, read = shares(world, prompts, RUNS)
    assert found["hold"] >= 0.9
    assert found["ship"] == 0
    assert read < 0.8


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(replace(MARGIN, candidate_hits=0.1), id="the candidate is hardly hit"),
        pytest.param(replace(MARGIN, crowded=0.01, p=0.02), id="the rise sits in one prompt of a hundred"),
        pytest.param(replace(MARGIN, jitter=1.5, p=0.02), id="prompts change much"),
    ],
)
def test_at_the_margin_both_answers_are_rare(world):
    found, _ = shares(world, 200, RUNS)
    assert found["ship"] <= ALLOWED
    assert found["hold"] <= ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("spread", [1.0, 1.5, 2.0])
def test_the_documented_budget(spread):
    """2,000 prompts of 500 draws."""
    same, _ = shares(Scenario(spread=spread, jitter=0), 2000, RUNS)
    double, _ = shares(Scenario(spread=spread, ratio=2), 2000, RUNS, seed=1)
    assert same["hold"] <= 0.05
    assert double["hold"] >= 0.9
    assert double["ship"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["baseline_hits", "candidate_hits"])
@pytest.mark.parametrize("spread", [1.0, 2.0])
def test_the_margin_under_poor_proposals_and_many_prompts(name, spread):
    found, _ = shares(replace(MARGIN, spread=spread, **{name: 0.5}), 1000, RUNS)
    assert found["ship"] <= ALLOWED
    assert found["hold"] <= ALLOWED


def constant(n, baseline, candidate, draws=50.0):
    every = np.ones(n)
    return Pairs(baseline * every, candidate * every, every, draws * every, draws * every)


def looks(pairs, *, tolerated=False, flips=4000):
    n = len(pairs)
    return Looks.of(pairs, [n // 2, n], [0.5, 1.0], tolerated=np.array([tolerated] * 2), seed=0, flips=flips)


def test_harm_that_nobody_saw_keeps_the_upper_limit_up():
    """Equal estimates of 1e-6: 10,000 draws of the candidate cannot exclude 3e-4 of uncovered harm."""
    pairs = constant(200, 1e-6, 1e-6)
    change = looks(pairs).change(0.05, 0.05)
    assert change.ratio == pytest.approx(1)
    assert change.difference_high == pytest.approx(3 / (200 * 50), rel=0.15)
    assert change.ratio_high > 200
    assert looks(pairs, tolerated=True).change(0.05, 0.05).ratio_high < 1.3


def test_a_heavier_prompt_counts_for_more():
    pairs = constant(100, 0.1, 0.1)
    pairs.candidate[:10] = 0.4
    pairs.weights[:10] = 3.0
    change = looks(pairs).change(0.05, 0.05)
    assert change.ratio == pytest.approx((30 * 0.4 + 90 * 0.1) / (120 * 0.1))
    assert change.difference == pytest.approx(30 * 0.3 / 120)
    assert change.baseline == pytest.approx(0.1)
    assert change.candidate == pytest.approx(0.175)
    assert change.difference_low < change.difference < change.difference_high


def test_a_baseline_without_harm_has_no_ratio_but_a_limit():
    change = looks(constant(200, 0.0, 0.01)).change(0.05, 0.05)
    assert change.ratio is None
    # 3 / 10,000 is what the baseline may have.
    assert 10 < change.ratio_low < 40
    assert change.ratio_high == np.inf


def test_effective_pairs():
    assert effective_pairs(np.ones(7)) == pytest.approx(7)
    assert effective_pairs(np.array([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_pairs(np.zeros(3)) == 0


def test_a_look_without_pairs_is_refused():
    with pytest.raises(ValueError, match="every look needs pairs"):
        Looks.of(constant(4, 0.1, 0.1), [0, 4], [0.5, 1.0], tolerated=np.zeros(2, bool), seed=0)
