"""Limits of a share, and what weighted labels are worth."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from riskmon.statistics import clopper_pearson, count_class, effective_trials, upper_limit


def test_limits_are_where_the_binomial_tail_is_two_and_a_half_percent():
    low, high = clopper_pearson(3, 40)
    assert binom.sf(2, 40, low) == pytest.approx(0.025)
    assert binom.cdf(3, 40, high) == pytest.approx(0.025)


@pytest.mark.parametrize(("hits", "trials"), [(0, 15_000), (1, 15_000), (7, 400), (400, 400)])
def test_limits_are_those_of_another_implementation(hits, trials):
    expected = binomtest(hits, trials).proportion_ci(0.9, method="exact")
    assert clopper_pearson(hits, trials, 0.9) == pytest.approx((expected.low, expected.high))
    assert upper_limit(hits, trials) == pytest.approx(expected.high)


def test_without_trials_nothing_is_excluded():
    assert upper_limit(0, 0) == 1
    assert clopper_pearson(0, 0) == (0, 1)


def test_limits_at_the_ends():
    assert clopper_pearson(0, 20).low == 0
    assert clopper_pearson(0, 20).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert clopper_pearson(20, 20).high == 1
    assert clopper_pearson(20, 20).low == pytest.approx(0.025 ** (1 / 20))


def test_nothing_seen_in_n_leaves_three_in_n():
    assert upper_limit(0, 30_000) == pytest.approx(1e-4, rel=0.01)


@pytest.mark.parametrize(
    ("hits", "trials", "confidence"), [(1, 0, 0.9), (-1, 5, 0.9), (6, 5, 0.9), (1, 5, 1.0)]
)
def test_nonsense_is_refused(hits, trials, confidence):
    with pytest.raises(ValueError, match="found"):
        upper_limit(hits, trials, confidence)


def test_equal_weights_are_worth_their_number():
    outcomes = np.arange(30) < 7
    for scale in (1.0, 2.5, 1e-9):
        assert effective_trials(outcomes, np.full(30, scale)) == 30


def test_unrelated_weights_are_worth_kish():
    """Two labels in three carry next to nothing: what is left is the third."""
    weights = np.where(np.arange(300) % 3 == 0, 1.0, 1e-9)
    assert effective_trials(np.zeros(300, dtype=bool), weights) == pytest.approx(100)
    assert effective_trials(np.arange(300) % 6 == 0, weights) == pytest.approx(100)


def test_few_outcomes_with_heavy_weights_are_worth_less_than_kish():
    weights = np.r_[np.full(3, 100.0), np.ones(1000)]
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert effective_trials(np.arange(1003) < 3, weights) < 0.5 * kish


def test_few_outcomes_with_light_weights_are_worth_no_more_than_kish():
    weights = np.r_[np.full(3, 1.0), np.full(1000, 100.0)]
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert effective_trials(np.arange(1003) < 3, weights) == pytest.approx(kish)


@pytest.mark.parametrize("weights", [[], [1.0, 0.0], [1.0, np.inf], [1.0, np.nan]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError, match="every weight must be positive"):
        effective_trials(np.zeros(len(weights), dtype=bool), np.array(weights))


def test_counts_of_a_class_are_exact_without_weights_and_shares_with_them():
    flagged = np.array([True, True, False, False, False])
    unreadable = np.array([False, False, False, False, True])
    counts = count_class(flagged, unreadable, np.ones(5))
    assert (counts.flagged, counts.passed, counts.unreadable) == (2, 2, 1)
    weighted = count_class(flagged, unreadable, np.array([4.0, 1.0, 2.0, 2.0, 1.0]))
    n = weighted.flagged + weighted.passed + weighted.unreadable
    assert n < 5
    assert [weighted.flagged / n, weighted.passed / n, weighted.unreadable / n] == pytest.approx(
        [0.5, 0.4, 0.1]
    )


@pytest.mark.parametrize("false_alarms", [1e-3, 2e-2])
def test_labels_picked_by_verdict_lower_the_limit_and_still_cover(false_alarms):
    """Every flagged answer and 500 of the others are labelled, out of 100,000."""
    rng = np.random.default_rng(1)
    pool, others = 100_000, 500
    limits = []
    for alarms in rng.binomial(pool, false_alarms, size=400):
        flagged = np.arange(alarms + others) < alarms
        weights = np.where(flagged, 1.0, (pool - alarms) / others)
        counts = count_class(flagged, np.zeros_like(flagged), weights)
        limits.append(upper_limit(counts.flagged, counts.flagged + counts.passed))
    assert np.mean(np.array(limits) >= false_alarms) >= 0.93
    assert np.median(limits) < 1.4 * false_alarms
    unpicked = upper_limit(false_alarms * 600, 600)
    assert np.median(limits) < 0.8 * unpicked


def test_limits_cover_with_weights_unrelated_to_the_verdict():
    rng = np.random.default_rng(2)
    share, covered = 0.05, []
    for _ in range(600):
        flagged = rng.random(400) < share
        counts = count_class(flagged, np.zeros_like(flagged), rng.lognormal(sigma=1.0, size=400))
        low, high = clopper_pearson(counts.flagged, counts.flagged + counts.passed)
        covered.append(low <= share <= high)
    assert np.mean(covered) >= 0.93
