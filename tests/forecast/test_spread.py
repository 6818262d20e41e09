"""Where the spread comes from: each part by hand, and that the largest is named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.judge_errors import judge_error
from support.weighted_estimates import weighted_estimate

from riskmon.forecast.harm_rate import HarmRate, HarmSample, borrowed_rate, harm_rate, true_rate
from riskmon.forecast.spread import variance_shares

DRAWS = 40_000


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def rate_of(p: np.ndarray, stderr: float) -> HarmRate:
    items = [weighted_estimate(float(x), stderr=stderr, hits=3, target_draws=500) for x in p]
    return harm_rate(HarmSample.of(items), draws=DRAWS, rng=rng())


def test_each_part_by_hand() -> None:
    p = np.array([1e-3, 3e-3, 2e-3, 6e-3])
    rate = rate_of(p, stderr=4e-4)
    within = 4 * 4e-4**2 / 16
    between = ((p - p.mean()) ** 2).sum() / 16 * 4 / 3 - within
    assert rate.samples_variance == pytest.approx(within)
    assert rate.prompts_variance == pytest.approx(between)
    volume = rng().normal(10_000, 1_500, size=DRAWS)
    shares = variance_shares([volume], [10_000.0], [rate])
    assert shares is not None
    parts = {
        "volume": 1_500**2 * 0.003**2,
        "prompts": 1e8 * between,
        "samples": 1e8 * within,
        "judge": 0.0,
        "chance": 30.0,
    }
    whole = sum(parts.values())
    assert dataclasses.asdict(shares) == {k: pytest.approx(v / whole, rel=0.02) for k, v in parts.items()}
    assert shares.dominant == "prompts"


def test_prompts_and_draws_add_up_over_strata_and_a_judge_is_the_same_for_all() -> None:
    error = judge_error(80, 20, 396, 4)
    se, sp = rng().normal(0.8, 0.03, size=DRAWS), np.full(DRAWS, 0.99)
    judged = [rate_of(np.full(50, level), stderr=0.0) for level in (0.03, 0.05)]
    rates = [true_rate(rate, error, se, sp) for rate in judged]
    means = [2_000.0, 1_000.0]
    shares = variance_shares([np.full(DRAWS, mean) for mean in means], means, rates)
    assert shares is not None
    assert shares.volume == shares.samples == 0
    expected = sum(mean * rate.mean for mean, rate in zip(means, rates, strict=True))
    both = sum(mean * rate.judged for mean, rate in zip(means, rates, strict=True))
    assert shares.judge / shares.chance == pytest.approx(float(both.var()) / expected)
    alone = [variance_shares([np.full(DRAWS, m)], [m], [r]) for m, r in zip(means, rates, strict=True)]
    # One judge for both: its part grows with the square of the whole.
    assert all(one is not None and one.judge < shares.judge for one in alone)


def test_a_judge_makes_the_other_parts_larger() -> None:
    error = judge_error(200, 200, 400, 0)
    rate = rate_of(np.array([0.01, 0.02, 0.06]), stderr=0.004)
    constant = np.full(DRAWS, 0.5), np.full(DRAWS, 1.0)
    got = true_rate(rate, error, *constant)
    assert got.samples_variance == pytest.approx(4 * rate.samples_variance, rel=0.05)
    assert got.prompts_variance == pytest.approx(4 * rate.prompts_variance, rel=0.05)


def test_a_borrowed_rate_is_unsure_of_which_stratum_it_is_like() -> None:
    lenders = [rate_of(np.full(20, level), stderr=0.0) for level in (1e-3, 9e-3)]
    rate = borrowed_rate(lenders, np.array([1.0, 1.0]), draws=DRAWS, rng=rng())
    assert rate.prompts_variance == pytest.approx(0.004**2, rel=0.05)


@pytest.mark.parametrize("p", [np.zeros(5), np.array([0.0])])
def test_without_harm_there_is_nothing_to_split(p: np.ndarray) -> None:
    assert variance_shares([np.full(DRAWS, 1e6)], [1e6], [rate_of(p, stderr=0.0)]) is None


def test_one_prompt_shows_no_spread_between_prompts() -> None:
    assert rate_of(np.array([0.01]), stderr=0.002).prompts_variance == 0
