"""Limits of the harm that the proposals miss, and what earlier days add to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from riskmon.forecast.uncovered import EarlierDraws
from riskmon.records.coverage import CoverageCount
from riskmon.statistics import upper_limit

RNG = np.random.default_rng


def count(gap_hits: int, target_draws: int) -> CoverageCount:
    return CoverageCount("misuse", None, target_draws, gap_hits)


def test_unequal_probabilities_leave_the_upper_limit_conservative() -> None:
    """Prompts of 50 draws, one in twenty with nearly all of the harm: Hoeffding 1956."""
    rng = RNG(11)
    p = np.where(np.arange(200) % 20 == 0, 4e-3, 1e-5)  # [prompts]
    hits = rng.binomial(50, p, size=(2_000, 200)).sum(axis=1)
    covered = sum(upper_limit(int(k), 10_000) >= p.mean() for k in hits)
    assert covered >= binom.ppf(0.001, 2_000, 0.95)


def test_earlier_days_are_what_a_count_of_all_days_holds_beyond_the_lookback() -> None:
    assert EarlierDraws.beyond(count(5, 900), 200, 2) == EarlierDraws(700, 3)
    assert EarlierDraws.beyond(count(1, 150), 200, 2) == EarlierDraws(0, 0)
    assert EarlierDraws.beyond(None, 200, 2) == EarlierDraws(0, 0)


def test_the_excess_is_the_part_of_the_pooled_rate_that_the_lookback_lacks() -> None:
    earlier = EarlierDraws(target_draws=30_000, gap_hits=900)
    quiet = earlier.excess(10_000, 100, draws=50_000, rng=RNG(1))
    assert quiet.mean() == pytest.approx((900 + 100) / 40_000 - 100 / 10_000, rel=0.01)
    assert quiet.std() == pytest.approx(np.sqrt(900) / 40_000, rel=0.02)
    assert not earlier.excess(10_000, 600, draws=1_000, rng=RNG(1)).any()  # today is worse than they were
    assert not EarlierDraws(30_000, 0).excess(10_000, 100, draws=1_000, rng=RNG(1)).any()
    assert (earlier.excess(0, 0, draws=1_000, rng=RNG(1)) > 0).all()
