import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2, gamma, poisson, t

from riskmon.estimate.intervals import guaranteed_upper, working_interval
from riskmon.statistics import upper_limit

N = 1000


def poisson_terms(hits):
    """Terms of N draws of which these are hits; a Poisson number of them has this estimate and standard error."""
    terms = np.zeros(N)
    terms[: len(hits)] = hits
    return terms, float(terms.sum()) / N, float(np.sqrt(np.square(terms).sum())) / N


# ---- the working interval


@pytest.mark.parametrize("hits", [1, 2, 7, 20, 150])
def test_with_equal_weights_the_low_limit_is_the_exact_poisson_one(hits):
    """Garwood 1936: the rate at which so many events or more come with probability 2.5%."""
    low, _ = working_interval(*poisson_terms(np.full(hits, 0.3)))
    assert low == pytest.approx(0.3 * chi2.ppf(0.025, 2 * hits) / 2 / N)
    assert poisson.sf(hits - 1, low * N / 0.3) == pytest.approx(0.025)


@pytest.mark.parametrize("hits", [3, 7, 20, 150])
def test_with_equal_weights_the_high_limit_counts_one_more_event_twice_as_heavy(hits):
    """The stated formulas by hand, from other distributions: chi-square for gamma, s = 0 for the lognormal."""
    _, high = working_interval(*poisson_terms(np.full(hits, 0.3)))
    scale = (hits + 4) / (hits + 2)  # variance / mean, in units of one hit
    by_gamma = scale * chi2.ppf(0.975, 2 * (hits + 2) / scale) / 2
    carriers = int(np.ceil(0.999 * hits))
    by_lognormal = carriers * np.exp(t.ppf(0.975, carriers - 1) / np.sqrt(carriers))
    assert high == pytest.approx(0.3 * max(by_gamma, by_lognormal) / N)
    garwood = 0.3 * chi2.ppf(0.975, 2 * hits + 2) / 2 / N
    assert garwood < high


def test_with_one_or_two_hits_only_the_gamma_limit_is_left():
    for hits in (1, 2):
        _, high = working_interval(*poisson_terms(np.full(hits, 0.3)))
        scale = (hits + 4) / (hits + 2)
        assert high == pytest.approx(0.3 * scale * chi2.ppf(0.975, 2 * (hits + 2) / scale) / 2 / N)


def test_with_uneven_weights_the_high_limit_is_the_lognormal_one():
    logs = np.linspace(-9.0, 0.0, 12)
    terms, p, stderr = poisson_terms(np.exp(logs))
    # The lightest carry less than a thousandth together and are left out.
    ordered = np.sort(np.exp(logs))[::-1]
    k = 1 + int((np.cumsum(ordered) < 0.999 * ordered.sum()).sum())
    assert 3 < k < 12
    kept = np.log(ordered[:k])
    s2 = kept.var(ddof=1)
    error = np.sqrt(1 / k + s2 / k + s2**2 / (2 * (k - 1)))
    expected = k / N * np.exp(kept.mean() + s2 / 2 + t.ppf(0.975, k - 1) * error)
    heavier = 2 * terms.max() / N
    mean, variance = p + heavier, stderr**2 + heavier**2
    assert gamma.ppf(0.975, mean**2 / variance, scale=variance / mean) < expected < 1
    assert working_interval(terms, p, stderr)[1] == pytest.approx(expected)


def test_light_terms_do_not_move_the_lognormal_limit():
    """A hit of a billionth of the weight says nothing of the heavy tail."""
    heavy = np.exp(np.linspace(-3.0, 0.0, 8))
    few, many = poisson_terms(heavy), poisson_terms(np.concatenate([heavy, np.full(40, 1e-9)]))
    np.testing.assert_allclose(working_interval(*few), working_interval(*many), rtol=1e-4)


def test_working_interval_is_wider_with_fewer_hits_and_higher_confidence():
    many_low, many_high = working_interval(*poisson_terms(np.full(100, 0.01)))
    few_low, few_high = working_interval(*poisson_terms(np.full(4, 0.25)))
    assert few_low < many_low < 1e-3 < many_high < few_high
    wide_low, wide_high = working_interval(*poisson_terms(np.full(100, 0.01)), confidence=0.99)
    assert wide_low < many_low
    assert many_high < wide_high


def test_working_interval_stays_a_probability_and_survives_huge_errors():
    low, high = working_interval(np.full(4, 0.9), 0.9, 0.5)
    assert 0 <= low < 0.9
    assert high == 1
    low, high = working_interval(*poisson_terms([N * 1.0]))
    assert 0 <= low < 0.1
    assert high == 1
    low, high = working_interval(np.array([0.0, 2e-6]), 1e-6, 1.0)
    assert (low, high) == (0, 1)


@pytest.mark.parametrize("errors", [0.1, 1.0, 5.0, 50.0])
def test_the_estimate_lies_inside_however_large_its_error(errors):
    """With a control variate p may come out far below its standard error."""
    terms, p, _ = poisson_terms(np.full(20, 0.01))
    low, high = working_interval(terms, p, errors * p)
    assert 0 <= low < p
    assert high >= p + 1.9 * errors * p


def _covered(weights, mean, runs=1500, expected=20.0, seed=0):
    """Share of runs whose interval holds the truth, for a Poisson number of hits with these weights."""
    rng = np.random.default_rng(seed)
    held = []
    for _ in range(runs):
        low, high = working_interval(*poisson_terms(weights(rng, rng.poisson(expected))))
        held.append(low <= expected * mean / N <= high)
    return np.mean(held)


def test_working_interval_covers_equal_weights():
    assert _covered(lambda rng, k: np.full(k, 0.2), 0.2) >= 0.93


@pytest.mark.parametrize("spread", [0.5, 1.0])
def test_working_interval_covers_lognormal_weights(spread):
    """Their logarithms vary by e: the heaviest of twenty hits carries a fifth of the sum."""
    held = _covered(lambda rng, k: 1e-2 * rng.lognormal(0, spread, k), 1e-2 * np.exp(spread**2 / 2))
    assert held >= 0.93


# ---- the guaranteed bound


@pytest.mark.parametrize("defensive", [10, 50, 200])
def test_without_hits_the_bound_is_close_to_three_over_the_defensive_draws(defensive):
    n = 500
    bound = guaranteed_upper([(np.zeros(n), n / defensive)])
    assert 3.0 / defensive <= bound * 1.02
    assert bound <= 3.6 / defensive


def test_a_lone_target_gives_nearly_the_binomial_bound():
    hits = np.zeros(1000)
    hits[:7] = 1
    bound = guaranteed_upper([(hits, 1.0)])
    exact = upper_limit(7, 1000)
    assert binom.cdf(7, 1000, exact) == pytest.approx(0.05, rel=1e-6)
    assert exact <= bound <= 1.5 * exact


def test_two_stages_say_what_one_of_their_draws_would():
    """Equal bounds: the capital multiplies over all draws alike. An empty stage adds nothing."""
    terms = np.zeros(600)
    terms[::100] = 2.0
    whole = guaranteed_upper([(terms, 5.0)])
    parts = guaranteed_upper([(terms[:150], 5.0), (np.empty(0), 50.0), (terms[150:], 5.0)])
    assert parts == pytest.approx(whole, rel=1e-6)


def test_without_hits_stages_add_up_their_defensive_draws():
    """About 3 over all draws of the target, whatever the shares they were drawn with."""
    bound = guaranteed_upper([(np.zeros(100), 10.0), (np.zeros(400), 20.0)])
    assert bound * 1.02 >= 3.0 / (10 + 20)
    assert bound <= 3.6 / (10 + 20)


def _coverage(draw_terms, mean, bound, runs=2000, seed=0):
    rng = np.random.default_rng(seed)
    return np.mean([guaranteed_upper([(draw_terms(rng), bound)]) >= mean for _ in range(runs)])


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


@pytest.mark.parametrize("mean", [0.004, 0.03, 0.2])
def test_guarantee_holds_where_the_first_stage_decides_about_the_second(mean):
    """An adversary's plan: after a hit no further draws, without one many, with a larger bound and lighter hits."""
    rng = np.random.default_rng(1)
    runs, held, without = 1500, 0, 0
    for _ in range(runs):
        first = 5.0 * (rng.random(40) < mean / 5.0)
        bound, n = (8.0, 20) if first.any() else (20.0, 160)
        weight = 0.5 * bound
        second = weight * (rng.random(n) < mean / weight)
        held += guaranteed_upper([(first, 5.0), (second, bound)]) >= mean
        without += not first.any()
    assert 0.1 < without / runs < 0.98  # both plans came up
    assert held / runs >= 0.95 - 0.01


def test_guarantee_is_not_idle():
    # With every term known to be small the bound comes down to the defensive floor and no further.
    values = np.full(1000, 1e-3)
    assert guaranteed_upper([(values, 10.0)]) < 1e-3 + 3.6 * 10 / 1000


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=60),
    st.floats(20.0, 100.0),
    st.integers(0, 60),
)
def test_bound_lies_above_the_mean_and_grows_with_every_term(values, bound, cut):
    terms = np.array(values)

    def upper(terms):
        return guaranteed_upper([(terms[:cut], bound), (terms[cut:], 2 * bound)])

    assert min(1.0, terms.mean()) <= upper(terms) <= 1
    assert upper(terms + 0.5 * (20 - terms)) >= upper(terms) * (1 - 1e-6)


def test_a_smaller_error_probability_gives_a_larger_bound():
    stages = [(np.zeros(400), 10.0)]
    assert guaranteed_upper(stages, alpha=0.025) > guaranteed_upper(stages)


def test_nothing_is_known_from_nothing():
    assert guaranteed_upper([(np.empty(0), 10.0)]) == 1
    assert guaranteed_upper([]) == 1
