import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from riskmon.estimate.intervals import binomial_upper, guaranteed_upper, working_interval


def test_working_interval_is_symmetric_in_the_logarithm_and_wider_with_fewer_hits():
    low, high = working_interval(1e-4, 2e-5, 100)
    assert low * high == pytest.approx(1e-8)
    assert low < 1e-4 < high
    few_low, few_high = working_interval(1e-4, 2e-5, 2)
    assert few_low < low
    assert few_high > high


def test_working_interval_stays_a_probability_and_survives_huge_errors():
    assert working_interval(0.9, 0.5, 3) == (
        pytest.approx(0.9 * 0.9 / working_interval(0.9, 0.5, 3)[1], rel=1),
        1.0,
    )
    low, high = working_interval(1e-6, 1.0, 1)
    assert low == 0
    assert high == 1


@pytest.mark.parametrize("defensive", [10, 50, 200])
def test_without_hits_the_bound_is_close_to_three_over_the_defensive_draws(defensive):
    n = 500
    bound = guaranteed_upper(np.zeros(n), n / defensive)
    assert 3.0 / defensive <= bound * 1.02
    assert bound <= 3.6 / defensive


def test_a_lone_target_gives_nearly_the_binomial_bound():
    hits = np.zeros(1000)
    hits[:7] = 1
    bound = guaranteed_upper(hits, 1.0)
    exact = binomial_upper(7, 1000)
    assert exact <= bound <= 1.5 * exact


def _coverage(draw_terms, mean, bound, runs=2000, seed=0):
    rng = np.random.default_rng(seed)
    return np.mean([guaranteed_upper(draw_terms(rng), bound) >= mean for _ in range(runs)])


def test_guarantee_holds_for_rare_terms_at_the_bound():
    # The worst case: everything hangs on a few draws of weight n/n_0 that mostly do not come.
    n, bound, rate = 100, 10.0, 0.003
    assert _coverage(lambda rng: bound * (rng.random(n) < rate), rate * bound, bound) >= 0.95 - 0.01


def test_guarantee_holds_for_draws_that_are_not_alike():
    # Stratified draws: ten of the target that may weigh 10, ninety of a proposal that weigh little.
    bound = 10.0
    mean = (10 * 0.02 * 10.0 + 90 * 0.5 * 0.01) / 100

    def terms(rng):
        return np.concatenate([10.0 * (rng.random(10) < 0.02), 0.01 * (rng.random(90) < 0.5)])

    assert _coverage(terms, mean, bound) >= 0.95 - 0.01


def test_guarantee_is_not_idle():
    # With every term known to be small the bound comes down to the defensive floor and no further.
    values = np.full(1000, 1e-3)
    assert guaranteed_upper(values, 10.0) < 1e-3 + 3.6 * 10 / 1000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=60),
    st.floats(20.0, 100.0),
)
def test_bound_lies_above_the_mean_and_grows_with_every_term(values, bound):
    terms = np.array(values)
    upper = guaranteed_upper(terms, bound)
    assert min(1.0, terms.mean()) <= upper <= 1
    assert guaranteed_upper(terms + 0.5 * (20 - terms), bound) >= upper * (1 - 1e-6)


def test_nothing_is_known_from_nothing():
    assert guaranteed_upper(np.empty(0), 10.0) == 1
    assert binomial_upper(0, 0) == 1
    assert binomial_upper(3, 3) == 1


def test_binomial_upper_is_clopper_pearson():
    upper = binomial_upper(2, 400)
    assert binom.cdf(2, 400, upper) == pytest.approx(0.05, rel=1e-6)
