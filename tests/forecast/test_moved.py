"""Steps of p within the last day: found where they are, and not where there is a rhythm, a heavy prompt or noise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from support.weighted_estimates import NOON, weighted_estimate

from riskmon.config import ForecastConfig
from riskmon.forecast import make_forecasts
from riskmon.forecast.moved import after_moves, moves
from riskmon.records import FloatArray, Horizon, Stratum, VolumeWindow, WeightedEstimate

HOUR = timedelta(hours=1)
CHAT = Stratum((("route", "chat"),))
PER_HOUR = 12

Level = Callable[[int], float]


def two_days(
    level: Level, *, log_sd: float = 1.0, seed: int = 0, per_hour: int = PER_HOUR
) -> list[WeightedEstimate]:
    """Estimates of 48 hours; `level(k)` is the mean of p in the k-th hour before noon."""
    rng = np.random.default_rng(seed)

    def p(k: int) -> FloatArray:
        drawn: FloatArray = level(k) * rng.lognormal(-(log_sd**2) / 2, log_sd, size=per_hour)
        return drawn

    return [
        weighted_estimate(float(value), weight=100, stratum=CHAT, hits=8, window_start=NOON - k * HOUR)
        for k in range(48, 0, -1)
        for value in p(k)
    ]


def moved(estimates: list[WeightedEstimate]) -> list[int]:
    """Hours before noon at which a move was found, of every harm and stratum."""
    return [
        round((NOON - moment) / HOUR)
        for strata in moves(estimates, NOON).values()
        for moment in strata.values()
    ]


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
@pytest.mark.parametrize("since", [6, 12, 18])
def test_a_step_is_found_where_it_is(factor: float, since: int) -> None:
    [found] = moved(two_days(lambda k: 1e-4 * (factor if k <= since else 1.0)))
    assert abs(found - since) <= 2


def test_what_is_alike_has_not_moved() -> None:
    for log_sd in (0.0, 1.0, 2.0, 3.0):
        assert sum(len(moved(two_days(lambda _: 1e-4, log_sd=log_sd, seed=seed))) for seed in range(40)) <= 1


def test_a_daily_rhythm_is_no_move() -> None:
    assert moved(two_days(lambda k: 1e-4 * (5.0 if k % 24 < 9 else 1.0))) == []


def test_a_step_within_a_daily_rhythm_is_found() -> None:
    [found] = moved(two_days(lambda k: 1e-4 * (5.0 if k % 24 < 9 else 1.0) * (3.0 if k <= 10 else 1.0)))
    assert abs(found - 10) <= 2


def test_one_heavy_prompt_is_no_move() -> None:
    estimates = two_days(lambda _: 1e-4)
    heavy = weighted_estimate(0.5, weight=100, stratum=CHAT, hits=8, window_start=NOON - 3 * HOUR)
    assert moved([*estimates, heavy]) == []


def test_proposals_that_learnt_overnight_are_no_move() -> None:
    """The same p, seen as a few large estimates among zeros before, and as many small ones since."""
    rng = np.random.default_rng(2)
    estimates = [
        weighted_estimate(
            1e-4 if k <= 24 else float(1e-3 * (rng.random() < 0.1)),
            weight=100,
            stratum=CHAT,
            hits=1,
            window_start=NOON - k * HOUR,
        )
        for k in range(48, 0, -1)
        for _ in range(PER_HOUR)
    ]
    assert moved(estimates) == []


def test_without_the_day_before_nothing_is_known() -> None:
    stepped = two_days(lambda k: 1e-4 * (3.0 if k <= 6 else 1.0))
    assert moved([item for item in stepped if item.cell[0] >= NOON - 24 * HOUR]) == []
    assert moved([]) == []


def test_a_handful_of_prompts_is_too_few() -> None:
    assert moved(two_days(lambda k: 1e-4 * (9.0 if k <= 6 else 1.0), per_hour=1)) == []


def test_only_what_came_after_counts() -> None:
    estimates = two_days(lambda k: 1e-4 * (3.0 if k <= 8 else 1.0))
    found = moves(estimates, NOON)
    moment = found["misuse"][CHAT]
    kept = after_moves(estimates, found)
    assert {item.cell[0] >= moment for item in kept} == {True}
    assert after_moves(estimates, {}) == estimates
    other = [item for item in estimates if item.cell[0] >= moment]
    assert kept == other


def test_a_forecast_follows_a_step_within_hours_and_says_so() -> None:
    windows = [VolumeWindow(NOON - k * HOUR, CHAT, 1200) for k in range(72, 0, -1)]
    estimates = two_days(lambda k: 1e-4 * (3.0 if k <= 8 else 1.0))
    stratum, total = (
        made
        for made in make_forecasts(
            ForecastConfig(),
            window=HOUR,
            windows=windows,
            estimates=estimates,
            harms=["misuse"],
            now=NOON,
            rng=np.random.default_rng(1),
        )
        if made.horizon is Horizon.DAY
    )
    assert total.harm_probability == pytest.approx(3e-4, rel=0.3)
    assert "; p moved at " in stratum.basis
    assert "p moved within the last day in 1 of 1 strata" in total.basis
    assert total.prompts < 11 * PER_HOUR
