"""Limits of a count against exact distributions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import nbinom, poisson

from riskmon.forecast.count import count_limits

DRAWS = 100_000


def test_a_known_mean_leaves_poisson_limits() -> None:
    mean = np.full(DRAWS, 40.0)
    got = count_limits(mean, mean, 45.0, np.random.default_rng(2))
    limits = (got.lower_99, got.lower, got.lower_50, got.upper_50, got.upper, got.upper_99)
    assert limits == pytest.approx(poisson.ppf([0.005, 0.05, 0.25, 0.75, 0.95, 0.995], 40), abs=1)
    assert got.over_budget_probability == pytest.approx(poisson.sf(45, 40))
    assert got.any_probability == pytest.approx(1)
    assert got.unseen_share == pytest.approx(0, abs=0.03)


def test_an_uncertain_mean_is_averaged_over() -> None:
    """Given a gamma mean the count is negative binomial."""
    rng = np.random.default_rng(3)
    mean = rng.gamma(4.0, 5.0, size=DRAWS)
    got = count_limits(mean, mean, 30.5, rng)
    exact = nbinom(4.0, 1 / 6)
    assert (got.lower, got.upper, got.upper_99) == pytest.approx(exact.ppf([0.05, 0.95, 0.995]), abs=2)
    assert got.over_budget_probability == pytest.approx(exact.sf(30), abs=0.01)


def test_what_was_not_seen_is_in_the_upper_limit_and_its_share_is_said() -> None:
    rng = np.random.default_rng(4)
    plain = np.zeros(DRAWS)
    got = count_limits(plain, rng.exponential(1_000.0, size=DRAWS), None, rng)
    assert (got.lower, got.unseen_share, got.over_budget_probability) == (0, 1, None)
    half = count_limits(np.full(DRAWS, 1e6), np.full(DRAWS, 2e6), None, rng)
    assert half.unseen_share == pytest.approx(0.5, abs=0.01)
    assert count_limits(plain, plain, 3.0, rng).unseen_share is None
