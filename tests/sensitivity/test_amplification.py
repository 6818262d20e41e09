"""The worst amplification where its truth is known, and what is said where there are only bounds."""

import numpy as np
import pytest
from sensitivity.wordings import estimate, family_of

from riskmon.records import Flag
from riskmon.sensitivity.amplification import Family, log_high, log_low, worst_amplification

# name -> standard deviation of log10 p, centre, one rewording's extra, and how estimates are drawn
WORLDS = {
    "nothing moves": (0.0, -4.0, 0.0, {"hit_rate": 0.3, "log_sd": 1.0}),
    "nothing moves, 20 hits": (0.0, -4.0, 0.0, {"hit_rate": 0.05, "log_sd": 1.0}),
    "nothing moves, plain draws": (0.0, -2.0, 0.0, {"hit_rate": None}),
    "one order": (1.0, -5.0, 0.0, {"hit_rate": 0.3, "log_sd": 1.0}),
    "one order, heavy weights": (1.0, -5.0, 0.0, {"hit_rate": 0.05, "log_sd": 2.0}),
    "one order, 4 hits": (1.0, -5.0, 0.0, {"hit_rate": 0.01, "log_sd": 1.0}),
    "one order, plain draws": (1.0, -2.0, 0.0, {"hit_rate": None}),
    "one stands out": (0.1, -6.0, 3.0, {"hit_rate": 0.3, "log_sd": 1.0}),
}


def simulated(world, runs, *, variants=25, seed=3):
    """Share of runs whose interval covers, and log10 of point / truth."""
    sd, centre, extra, draws = WORLDS[world]
    rng = np.random.default_rng(seed)
    covered, errors = 0, []
    for _ in range(runs):
        logs = np.minimum(centre + sd * rng.standard_normal(variants), -0.1)
        logs[3] = min(logs[3] + extra, -0.1)
        found = worst_amplification([Family(*family_of(rng, centre, logs, **draws))])
        truth = 10 ** (logs.max() - centre)
        covered += found.low <= truth <= (found.high or np.inf)
        if found.point is not None:
            errors.append(np.log10(found.point / truth))
    return covered / runs, np.array(errors)


@pytest.mark.parametrize("world", ["nothing moves, 20 hits", "one order, 4 hits", "one stands out"])
def test_the_interval_covers_the_true_maximum(world):
    coverage, errors = simulated(world, 12)
    assert coverage >= 10 / 12  # at 95% three or more misses have probability 2%; the slow test is sharper
    assert -1.0 < np.median(errors) < 0.15  # not inflated by the choice of the largest


@pytest.mark.slow
@pytest.mark.parametrize("variants", [5, 25])
@pytest.mark.parametrize("world", WORLDS)
def test_the_interval_covers_in_93_of_100_runs(world, variants):
    coverage, _ = simulated(world, 400, variants=variants, seed=4)
    assert coverage >= 0.93


def test_a_naive_maximum_would_be_too_large_and_the_point_is_not():
    rng = np.random.default_rng(0)
    naive, points = [], []
    for _ in range(9):
        base, variants = family_of(rng, -4, [-4.0] * 25, hit_rate=0.05)
        naive.append(max(variant.p for variant in variants) / base.p)
        points.append(worst_amplification([Family(base, variants)]).point)
    assert np.median(naive) > 1.5
    assert np.median(points) == pytest.approx(1.0, abs=0.3)


def test_a_clear_winner_is_its_own_ratio():
    variants = (
        estimate("v1", 1e-5, 1e-7),
        estimate("v2", 3e-3, 3e-5),
        estimate("v3", stderr=None, upper=1e-4),
    )
    found = worst_amplification([Family(estimate("a", 1e-5, 1e-7), variants)])
    assert found.point == pytest.approx(300)
    assert 285 < found.low < 300 < found.high < 320


def test_a_base_without_hits_bounds_from_below_only():
    variants = (estimate("v1", 1e-2, 1e-3), estimate("v2", 1e-3, 1e-4))
    found = worst_amplification([Family(estimate("a", stderr=None, upper=1e-4), variants)])
    assert found.point is None
    assert found.high is None
    assert 40 < found.low < 1e-2 / 1e-4


def test_rewordings_without_hits_bound_from_above_only():
    variants = (estimate("v1", stderr=None, upper=1e-2), estimate("v2", stderr=None, upper=2e-2))
    found = worst_amplification([Family(estimate("a", 1e-4, 1e-5), variants)])
    assert found.point is None
    assert found.low == 0
    assert 2e-2 / 1e-4 < found.high < 1000


def test_nothing_seen_says_nothing():
    found = worst_amplification([Family(estimate("a", stderr=None), (estimate("v", stderr=None),))])
    assert (found.point, found.low, found.high) == (None, 0.0, None)


def test_a_rewording_without_hits_may_be_the_worst_as_far_as_is_known():
    base, seen = estimate("a", 1e-4, 1e-6), estimate("v1", 2e-4, 2e-6)
    without = worst_amplification([Family(base, (seen,))])
    unknown = worst_amplification([Family(base, (seen, estimate("v2", stderr=None, upper=0.03)))])
    known = worst_amplification([Family(base, (seen, estimate("v2", stderr=None, upper=1e-5)))])
    assert without.high < 2.2
    assert unknown.high > 300
    assert unknown.point == pytest.approx(2.0)
    assert known.high == pytest.approx(without.high, rel=0.05)


def test_an_estimate_at_the_judges_floor_is_a_bound():
    floor = estimate("v", 1e-2, 1e-3, upper=0.02, flags=[Flag.BELOW_JUDGE_FLOOR])
    assert log_low(floor, 0.025) == -np.inf
    assert log_high(floor, 0.05) == pytest.approx(np.log(0.02))
    found = worst_amplification([Family(estimate("a", 1e-4, 1e-5), (floor, estimate("w", 1e-4, 1e-5)))])
    assert found.point == pytest.approx(1.0)
    assert found.high > 200


def test_limits_widen_as_more_must_hold():
    value = estimate("v", 1e-3, 3e-4)
    lows = [log_low(value, tail) for tail in (0.5, 0.1, 0.025, 0.001)]
    highs = [log_high(value, tail) for tail in (0.5, 0.1, 0.025, 0.001)]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)
    assert lows[0] == highs[0] == pytest.approx(np.log(1e-3))
    assert log_high(estimate("v", 1.0, 0.0, ci_high=1.0), 0.001) == 0


def test_over_prompts_the_largest_counts_and_limits_hold_together():
    calm = Family(estimate("a", 1e-4, 1e-6), (estimate("a~case-1", 1e-4, 1e-6),))
    wild = Family(estimate("b", 1e-6, 1e-7), (estimate("b~case-1", 1e-3, 1e-4),))
    alone = worst_amplification([wild])
    both = worst_amplification([calm, wild])
    assert both.point == pytest.approx(1000)
    assert both.low < alone.low < 1000 < alone.high < both.high
    unknown = Family(estimate("c", stderr=None), (estimate("c~case-1", 1e-3, 1e-4),))
    some = worst_amplification([wild, unknown])
    assert some.point == pytest.approx(1000)
    assert some.high is None


@pytest.mark.slow
def test_over_prompts_the_interval_covers_in_93_of_100_runs():
    rng = np.random.default_rng(8)
    covered, runs = 0, 200
    for _ in range(runs):
        families, truths = [], []
        for base in rng.uniform(-6, -3, size=6):
            logs = base + 0.4 * rng.standard_normal(10)
            families.append(Family(*family_of(rng, base, logs, hit_rate=0.1)))
            truths.append(10 ** (logs.max() - base))
        found = worst_amplification(families)
        covered += found.low <= max(truths) <= (found.high or np.inf)
    assert covered / runs >= 0.93
