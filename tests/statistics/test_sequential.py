"""Limits that hold at every look: exact where nothing changed, however heavy the tail; right elsewhere."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from riskmon.statistics.sequential import Paths, Unseen, exceeds, falls_below, lower_limit, upper_limit

NOTHING = Unseen(np.zeros(5), np.zeros(5))
SHARES = [0.2, 0.4, 0.6, 0.8, 1.0]


def paths_of(y, x, *, seed=0, flips=800, looks=5):
    ends = [len(y) * place // looks for place in range(1, looks + 1)]
    return Paths.of(np.asarray(y, float), np.asarray(x, float), ends, SHARES[-looks:], seed=seed, flips=flips)


def ever(test, paths, unseen, value, alpha):
    return any(test(paths.until(look), unseen.until(look), value, alpha) for look in range(1, 6))


@pytest.mark.parametrize("tail", ["cauchy", "one in fifty"])
def test_no_change_is_found_a_change_as_rarely_as_promised(tail):
    """Exchangeable pairs with infinite variance, or almost all of them 0: 400 runs, both directions."""
    rng = np.random.default_rng(1)
    runs, wrong = 400, {exceeds: 0, falls_below: 0}
    for run in range(runs):
        if tail == "cauchy":
            pairs = np.abs(rng.standard_cauchy((2, 60)))
        else:
            pairs = (rng.random((2, 60)) < 0.02) * rng.exponential(size=(2, 60))
        paths = paths_of(*pairs, seed=run)
        for test in wrong:
            wrong[test] += ever(test, paths, NOTHING, 1.0, 0.05)
    allowed = binom.isf(1e-3, runs, 0.05)
    assert max(wrong.values()) <= allowed
    # The premise: the errors are spent, not saved by never answering.
    assert tail != "cauchy" or min(wrong.values()) > 0.01 * runs


def test_light_tails_spend_what_they_may_and_no_more():
    rng = np.random.default_rng(2)
    runs = 400
    wrong = sum(
        ever(exceeds, paths_of(*(5 + rng.standard_normal((2, 100))), seed=run), NOTHING, 1.0, 0.1)
        for run in range(runs)
    )
    assert binom.ppf(1e-3, runs, 0.1) <= wrong <= binom.isf(1e-3, runs, 0.1)


def test_paths_cross_as_often_as_they_may():
    """Each path in the place of what was measured: by the last look, a share alpha of them has crossed at some look."""
    rng = np.random.default_rng(8)
    alpha, flips = 0.2, 150
    paths = paths_of(*rng.lognormal(size=(2, 50)), flips=flips)
    crossed = 0
    for path in range(flips):
        measured = replace(paths, y=paths.flipped_y[:, path], x=paths.flipped_x[:, path])
        crossed += ever(exceeds, measured, NOTHING, 1.0, alpha)
    assert crossed == math.floor(alpha * (flips + 1)) - 1


def test_looking_often_without_a_rule_would_break_the_promise():
    """The premise of it all: five plain tests at 10% each are wrong far more often."""
    rng = np.random.default_rng(3)
    runs, wrong = 400, 0
    for run in range(runs):
        paths = paths_of(*(5 + rng.standard_normal((2, 100))), seed=run)
        wrong += any(
            paths.y[k] - paths.x[k] > np.quantile(paths.flipped_y[k] - paths.flipped_x[k], 0.9)
            for k in range(5)
        )
    assert wrong > binom.isf(1e-3, runs, 0.1)


def test_limits_are_where_the_tests_turn():
    rng = np.random.default_rng(4)
    x = rng.lognormal(size=200)
    paths = paths_of(1.5 * x * rng.lognormal(0, 0.4, 200), x)
    unseen = Unseen(np.full(5, 2.0), np.full(5, 1.0))
    low, high = (limit(paths, unseen, 0.05, floor=0.0) for limit in (lower_limit, upper_limit))
    assert 0.5 < low < paths.y[-1] / paths.x[-1] < high < 3
    assert exceeds(paths, unseen, low * 0.99, 0.05)
    assert not exceeds(paths, unseen, low * 1.01, 0.05)
    assert falls_below(paths, unseen, high * 1.01, 0.05)
    assert not falls_below(paths, unseen, high * 0.99, 0.05)


def test_a_difference_is_a_ratio_to_one_at_any_scale():
    rng = np.random.default_rng(5)
    d = 1e-7 * (0.3 + rng.standard_normal(400))
    paths = paths_of(d, np.ones(400), flips=4000)
    low, high = (limit(paths, NOTHING, 0.025, floor=-1.0) for limit in (lower_limit, upper_limit))
    error = d.std() / 20
    # At the last of five looks a one-sided 2.5% asks for a little more than 1.96 errors.
    assert low == pytest.approx(d.mean() - 2.1 * error, abs=0.25 * error)
    assert high == pytest.approx(d.mean() + 2.1 * error, abs=0.25 * error)


def test_what_follows_changes_no_earlier_look():
    rng = np.random.default_rng(6)
    y, x = rng.lognormal(size=(2, 100))
    first = Paths.of(y[:40], x[:40], [20, 40], [0.2, 0.4], seed=7, flips=300)
    longer = Paths.of(y, x, [20, 40, 100], [0.2, 0.4, 1.0], seed=7, flips=300)
    for name in ("y", "x", "flipped_y", "flipped_x", "event", "shares"):
        np.testing.assert_allclose(getattr(longer.until(2), name), getattr(first, name))


def test_without_any_harm_seen_the_limit_is_that_of_one_unseen_event():
    """y is 0 throughout: E[y] <= 3 u / n at 95%, against a baseline that is known exactly."""
    paths = Paths.of(np.zeros(2000), np.ones(2000), [2000], [1.0], seed=0, flips=20_000)
    limit = upper_limit(paths, Unseen(np.array([5.0]), np.zeros(1)), 0.05, floor=0.0)
    assert limit == pytest.approx(-math.log(0.05) * 5 / 2000, rel=0.1)


def test_ratios_to_nothing():
    zeros, some = np.zeros(60), np.ones(60)
    neither, only_y, only_x = paths_of(zeros, zeros), paths_of(some, zeros), paths_of(zeros, some)
    assert lower_limit(neither, NOTHING, 0.05, floor=0.0) == 0
    assert upper_limit(neither, NOTHING, 0.05, floor=0.0) == math.inf
    assert lower_limit(only_y, NOTHING, 0.05, floor=0.0) == math.inf
    event = Unseen(np.zeros(5), np.full(5, 1.0))
    assert 5 < lower_limit(only_y, event, 0.05, floor=0.0) < 40
    assert upper_limit(only_y, NOTHING, 0.05, floor=0.0) == math.inf
    assert lower_limit(only_x, NOTHING, 0.05, floor=0.0) == 0


def test_a_first_look_at_a_handful_excludes_nothing():
    paths = Paths.of(np.array([9.0, 8.0, 9.0]), np.ones(3), [3], [0.1], seed=0, flips=2000)
    nothing = Unseen(np.zeros(1), np.zeros(1))
    assert lower_limit(paths, nothing, 0.05, floor=0.0) == 0
    assert upper_limit(paths, nothing, 0.05, floor=0.0) == math.inf


@pytest.mark.parametrize(
    ("ends", "shares"),
    [([], []), ([2, 1], [0.5, 1.0]), ([2, 4], [1.0, 0.5]), ([2, 9], [0.5, 1.0]), ([2], [0.5, 1.0])],
)
def test_looks_out_of_order_are_refused(ends, shares):
    with pytest.raises(ValueError, match="look"):
        Paths.of(np.ones(4), np.ones(4), ends, shares, seed=0)
