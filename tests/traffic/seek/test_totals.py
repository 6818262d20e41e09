"""Totals are unbiased, their variance is right or too large, and limits hold: by hand and by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.seek_worlds import GAP, WORLDS, step

from riskmon.statistics.binomial import clopper_pearson
from riskmon.traffic.seek.design import Design
from riskmon.traffic.seek.totals import estimate_totals, limits_of, round_fairly

TOPICS = 100
"""The benchmark has 200."""


def design(lengths: list[int], taken: int) -> Design:
    return Design(np.array(lengths), np.full(len(lengths), taken), ())


def test_totals_and_variance_by_hand() -> None:
    totals, variances = estimate_totals(np.array([[3, 0, 1], [1, 4, 3]]), design([40, 40, 40], 4))
    assert totals.tolist() == [40, 80]
    # z = 30, 0, 10 and 10, 40, 30: 3/4 (900 + 100), both times.
    assert variances.tolist() == [750, 750]


def test_over_all_places_of_the_ranges_the_total_is_right_and_the_variance_not_too_small() -> None:
    segments = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1]])
    read, truth = 2, int(segments.sum())
    around = [[int(row[[u, (u + 1) % 5]].sum()) for u in range(5)] for row in segments]
    estimates = []
    for hits in product(*around):
        counts = np.array([hits, [read - hit for hit in hits]])
        totals, variances = estimate_totals(counts, design([5, 5, 5], read))
        estimates.append((totals[0], variances[0]))
    drawn, stated = np.array(estimates).T
    means = segments.mean(axis=1) * 5
    between = 3 / 4 * float((np.diff(means) ** 2).sum())
    inner = [np.var(np.array(hits) * 5 / read) for hits in around]
    expected = 3 / 4 * (inner[0] + 2 * inner[1] + inner[2]) + between
    assert drawn.mean() == pytest.approx(truth)
    assert stated.mean() == pytest.approx(expected)
    assert stated.mean() > drawn.var()


def test_where_all_was_read_nothing_is_uncertain() -> None:
    totals, variances = estimate_totals(np.array([[7], [2]]), design([9], 9))
    assert (totals.tolist(), variances.tolist()) == ([7, 2], [0, 0])


def test_an_offset_that_is_of_no_kind_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="exactly one kind"):
        estimate_totals(np.array([[1, 1]]), design([10, 10], 2))


@given(
    parts=st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    whole=st.integers(0, 10**7),
    seed=st.integers(0, 99),
)
def test_whole_numbers_add_up_and_stay_next_to_their_totals(
    parts: list[float], whole: int, seed: int
) -> None:
    rest = np.ceil(sum(parts)) - sum(parts) + whole
    totals = np.array([*parts, rest])
    rounded, added = round_fairly(totals, np.random.default_rng(seed))
    assert rounded.sum() == round(totals.sum())
    assert (np.abs(rounded - totals) < 1 + 1e-6).all()
    assert ((added >= 0) & (added <= 0.25)).all()


def test_rounding_favours_nobody() -> None:
    totals, rng = np.array([1.4, 1.4, 0.3, 6.9]), np.random.default_rng(2)
    drawn = np.array([round_fairly(totals, rng)[0] for _ in range(20_000)])
    assert drawn.mean(axis=0) == pytest.approx(totals, abs=0.015)
    assert drawn.var(axis=0) == pytest.approx(round_fairly(totals, rng)[1], abs=0.01)


def test_a_kind_that_no_range_holds_has_an_upper_limit() -> None:
    limits = limits_of(0.0, 0.0, 1e6, 50)
    assert limits.low == 0
    assert limits.high == pytest.approx(1 - 0.025 ** (1 / 50))


def test_limits_are_those_of_offsets_drawn_one_by_one_where_the_variance_says_so() -> None:
    share, drawn, of = 0.3, 5_000, 1e6
    variance = of**2 * share * (1 - share) / drawn
    found, expected = limits_of(of * share, variance, of, drawn), clopper_pearson(share * drawn, drawn)
    assert tuple(found) == pytest.approx(tuple(expected), rel=1e-6)


def test_one_range_with_one_hit_does_not_exclude_what_no_hit_would_allow() -> None:
    one = 1e6 / 1_000
    assert limits_of(one, one**2, 1e6, 50).high >= limits_of(0.0, 0.0, 1e6, 50).high


@pytest.mark.parametrize("name", WORLDS)
def test_shares_lie_within_their_limits(name: str) -> None:
    held = []
    for number in range(TOPICS):
        rng = np.random.default_rng([7, number])
        world = WORLDS[name](rng)
        truth, said = world.truth, step(world, rng)
        assert said.counts.sum() == truth.sum()
        if truth[GAP] == 0:
            assert said.counts[1:].sum() == truth.sum()
        for kind in range(1, world.kinds):
            share = truth[kind] / truth.sum()
            held.append(said.limits[kind].low <= share <= said.limits[kind].high)
    assert np.mean(held) >= 0.92
