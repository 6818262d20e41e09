import itertools

import numpy as np
import pytest

from riskmon.estimate.allocation import Candidate, further_draws

KNOWN = 10**9  # so many pilot draws know their spread: nothing is pulled towards the mean


def candidate(requests=1.0, spread=((0.01, 1e-3),), *, pilot_draws=KNOWN, draws=100, seconds_per_draw=0.01):
    return Candidate(requests, tuple(spread), pilot_draws, draws, seconds_per_draw)


def allocate(candidates, seconds, limit=100_000, early_stop=0.0):
    return further_draws(candidates, seconds, limit, early_stop)


def test_totals_follow_requests_times_spread_over_the_root_of_the_cost():
    candidates = [
        candidate(),
        candidate(requests=3.0),
        candidate(spread=[(0.05, 1e-3)]),
        candidate(seconds_per_draw=0.04),
    ]
    totals = 100 + allocate(candidates, 500.0)
    np.testing.assert_allclose(totals / totals[0], [1, 3, 5, 0.5], rtol=1e-3)
    assert (totals - 100) @ [0.01, 0.01, 0.01, 0.04] == pytest.approx(500.0, abs=0.1)


def test_nothing_cheaper_gives_a_smaller_variance_of_the_forecast():
    """Against all splits of the same time over three prompts, in steps of twenty draws."""
    requests, spread, cost = (
        np.array([1.0, 2.0, 15.0]),
        np.array([0.04, 0.03, 0.01]),
        np.array([1.0, 2.0, 1.0]),
    )
    candidates = [
        candidate(w, [(s, 1e-3)], seconds_per_draw=c) for w, s, c in zip(requests, spread, cost, strict=True)
    ]
    extra = allocate(candidates, 2000.0)
    assert extra @ cost <= 2000.0

    def variance(extra):
        return float((requests**2 * spread**2 / (100 + np.asarray(extra))).sum())

    splits = [
        (a, b, 2000 - a - 2 * b)
        for a, b in itertools.product(range(0, 2001, 20), range(0, 1001, 20))
        if a + 2 * b <= 2000
    ]
    best = min(variance(split) for split in splits)
    assert variance(extra) <= best * (1 + 2e-3)  # whole draws
    assert variance(extra) < 0.95 * variance((500, 500, 500))


def test_what_has_enough_draws_already_gets_none_and_gives_none_back():
    """Its share would be fewer than it has; the others share the time without it."""
    candidates = [candidate(draws=5000), candidate(), candidate()]
    extra = allocate(candidates, 10.0)
    assert extra.tolist() == [0, 500, 500]


def test_no_prompt_gets_more_than_the_limit_and_the_rest_goes_on():
    candidates = [candidate(requests=100.0), candidate()]
    assert allocate(candidates, 10.0, limit=300).tolist() == [200, 200]
    candidates = [candidate(requests=100.0), candidate(requests=2.0), candidate()]
    extra = allocate(candidates, 5.0, limit=300)
    assert extra[0] == 200
    assert extra[1] > extra[2]
    assert extra.sum() * 0.01 == pytest.approx(5.0, abs=0.05)


def test_a_prompt_that_hardly_matters_is_left_as_it_is():
    candidates = [candidate(requests=100.0), candidate(requests=1.0)]
    assert allocate(candidates, 1000.0, early_stop=1e-3).tolist() == [99_900, 0]
    assert allocate(candidates, 1000.0, early_stop=1e-5)[1] > 0


def test_too_few_further_draws_are_not_worth_it():
    assert allocate([candidate()], 0.15).tolist() == [0]
    assert allocate([candidate()], 0.17).tolist() == [17]


def test_a_pilot_without_a_hit_is_no_proof_of_no_harm():
    """A pilot of a hundred draws that saw nothing is pulled towards the mean over prompts; a long one hardly."""

    def share(pilot_draws):
        quiet = candidate(spread=[(0.0, 0.0)], pilot_draws=pilot_draws)
        extra = allocate([quiet, candidate(pilot_draws=pilot_draws)], 400.0)
        return extra[0] / extra.sum()

    assert 0.2 < share(100) < 0.4
    assert share(10_000) < 0.05


def test_the_pull_is_towards_the_mean_over_requests():
    """By hand: pilots of twenty draws weigh as much as the mean over prompts."""
    pair = [candidate(3.0, [(0.02, 1e-3)], pilot_draws=20), candidate(1.0, [(0.0, 1e-3)], pilot_draws=20)]
    mean = 0.75 * 0.02**2
    wished = np.array([3.0, 1.0]) * np.sqrt([(0.02**2 + mean) / 2, mean / 2])
    totals = 100 + allocate(pair, 1000.0)
    assert totals[0] / totals[1] == pytest.approx(wished[0] / wished[1], rel=1e-3)


def test_harms_count_by_their_relative_variance():
    """A harm a million times rarer, with the same relative spread, moves as many draws."""
    common = candidate(spread=[(0.02, 1e-3), (0.0, 1e-9)])
    rare = candidate(spread=[(0.0, 1e-3), (0.02e-6, 1e-9)])
    extra = allocate([common, rare], 100.0)
    assert abs(int(extra[0]) - int(extra[1])) <= 1
    both = candidate(spread=[(0.02, 1e-3), (0.02e-6, 1e-9)])
    totals = 100 + allocate([common, both], 100.0)
    assert totals[1] / totals[0] == pytest.approx(np.sqrt(2), rel=0.01)


def test_a_harm_that_no_pilot_saw_decides_nothing():
    seen = [candidate(spread=[(s, 1e-3), (0.0, 0.0)]) for s in (0.01, 0.03)]
    without = [candidate(spread=[(s, 1e-3)]) for s in (0.01, 0.03)]
    assert allocate(seen, 50.0).tolist() == allocate(without, 50.0).tolist()


def test_without_candidates_time_or_any_hit_nothing_is_drawn():
    assert allocate([], 100.0).tolist() == []
    assert allocate([candidate()], 0.0).tolist() == [0]
    assert allocate([candidate(spread=[(0.0, 0.0)])] * 3, 100.0).tolist() == [0, 0, 0]
