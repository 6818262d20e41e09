"""Worst query: exact lines are continued exactly, everything else is refused."""

from __future__ import annotations

import numpy as np
import pytest

from riskmon.forecast.worst_query import worst_query_probability
from riskmon.records import FloatArray


def on_the_line(survival: FloatArray, at_all: float = -2.5, slope: float = 0.12) -> FloatArray:
    """p whose psi is `at_all` where everything survives, and grows by `slope` per e-fold of rarity."""
    return np.exp(-np.exp(-(at_all - slope * np.log(survival))))


def sampled(m: int = 1_000) -> tuple[FloatArray, FloatArray]:
    rank = np.random.default_rng(4).permutation(m) + 1
    return on_the_line(rank / m), np.ones(m)


def test_a_straight_tail_is_continued_exactly() -> None:
    p, weights = sampled()
    want = float(on_the_line(np.array(1e-5)))
    assert want > 3 * p.max()
    assert worst_query_probability(p, weights, 1e5) == pytest.approx(want, rel=1e-9)


def test_ranks_are_weighted() -> None:
    weights = np.array([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 200, 70])
    p = on_the_line(np.cumsum(weights) / weights.sum())
    order = np.random.default_rng(1).permutation(len(p))
    want = float(on_the_line(np.array(1 / 2_000)))
    assert worst_query_probability(p[order], 17 * weights[order], 2_000) == pytest.approx(want, rel=1e-9)


def test_within_the_sample_it_is_the_largest() -> None:
    p, weights = sampled()
    assert worst_query_probability(p, weights, 1_000) == p.max()
    assert worst_query_probability(p, weights, 3) == p.max()


def test_it_is_never_below_the_largest() -> None:
    p = on_the_line(np.arange(1, 1_001) / 1_000)
    p[0] *= 5  # far above the line, yet it was seen
    got = worst_query_probability(p, np.ones(1_000), 1_500)
    assert got is not None
    assert got >= p[0]


def test_it_is_at_most_one() -> None:
    p, weights = sampled()
    p[7] = 1.3  # an importance-sampling estimate may exceed 1
    assert worst_query_probability(p, weights, 1e5) == 1.0
    steep = on_the_line(np.arange(1, 101) / 100, at_all=-3.0, slope=1.2)
    got = worst_query_probability(steep, np.ones(100), 5e4)
    assert got is not None
    assert 0.99 < got <= 1.0


def test_fewer_than_ten_positive_are_refused() -> None:
    p, weights = sampled()
    nine = np.where(p >= np.sort(p)[-9], p, 0.0)
    assert np.count_nonzero(nine) == 9
    assert worst_query_probability(nine, weights, 1e5) is None
    assert worst_query_probability(p[:9], weights[:9], 5) is None
    assert worst_query_probability(np.array([]), np.array([]), 1e5) is None


def test_three_orders_of_magnitude_is_the_reach() -> None:
    p, weights = sampled()
    assert worst_query_probability(p, weights, 0.99e6) is not None
    assert worst_query_probability(p, weights, 1.01e6) is None


def test_no_traffic_has_no_worst_query() -> None:
    assert worst_query_probability(*sampled(), 0.0) is None


def test_ten_equal_probabilities_say_nothing_about_a_larger_one() -> None:
    assert worst_query_probability(np.full(500, 2e-3), np.ones(500), 1e4) is None


def test_a_fit_that_hangs_on_one_point_is_refused() -> None:
    p = np.full(1_000, 1e-9) * np.linspace(1.0, 1.1, 1_000)
    p[3] = 0.05
    assert worst_query_probability(p, np.ones(1_000), 5e5) is None


def test_it_finds_the_worst_of_a_lognormal_day_within_an_order_of_magnitude() -> None:
    rng = np.random.default_rng(11)
    errors = []
    for _ in range(200):
        p = np.minimum(rng.lognormal(-12, 2, size=1_000), 1.0)
        truth = np.minimum(rng.lognormal(-12, 2, size=50_000), 1.0).max()
        got = worst_query_probability(p, np.ones(1_000), 50_000)
        if got is not None:
            errors.append(np.log10(got / truth))
    assert len(errors) > 180
    assert abs(np.median(errors)) < 0.3
    assert np.mean(np.abs(errors) < 1) > 0.9
