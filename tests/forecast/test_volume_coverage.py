"""Prediction intervals of a day and of a week hold what they promise, in simulated traffic."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from scipy.stats import binom
from support.volume_worlds import HOUR, MONDAY, World, windows_of

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.volume import predict_requests
from riskmon.records import Stratum

LEVELS = 0.5, 0.9, 0.99
DAY, WEEK = 24, 168

USUAL = World(1e6)
STEADY = World(1e9, walk=0.02, lasting=0.02, hourly=0.02, trend=0)
SMALL = World(1e3)
LASTING = World(1e6, walk=0.01, lasting=0.2, hourly=0.1, trend=0.01)


def held(world: World, hours: int, seeds: int) -> dict[tuple[int, float], int]:
    """How many of the seeds' outcomes lie in each interval, per horizon and level."""
    found = {(horizon, level): 0 for horizon in (DAY, WEEK) for level in LEVELS}
    for seed in range(seeds):
        rng = np.random.default_rng(1_000 + seed)
        start = MONDAY + int(rng.integers(0, WEEK)) * HOUR
        counts = rng.poisson(world.rates(start, hours + WEEK, rng))
        got = predict_requests(
            windows_of(start, counts[:hours]),
            window=HOUR,
            now=start + hours * HOUR,
            hours=WEEK,
            draws=500,
            rng=rng,
            config=VolumeConfig(),
        )[Stratum()]
        for horizon in (DAY, WEEK):
            actual, draws = counts[hours : hours + horizon].sum(), got.within(0, horizon)[1]
            for level in LEVELS:
                low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
                found[horizon, level] += int(low <= actual <= high)
    return found


@pytest.mark.parametrize(
    ("hours", "seeds"),
    [(1, 60), (6, 60), (30, 40), (3 * DAY + 7, 20), (10 * DAY + 5, 60), (35 * DAY + 11, 20)],
)
def test_intervals_hold_in_usual_traffic(hours: int, seeds: int) -> None:
    found = held(USUAL, hours, seeds)
    for (horizon, level), count in found.items():
        # The nominal level, less what a few hours or days may fall short of it: they rest on what is usual elsewhere.
        promised = level if horizon == DAY and hours > 3 * DAY else level - 0.08
        assert binom.ppf(1e-3, seeds, promised) <= count, (horizon, level)
    assert found[DAY, 0.5] <= binom.ppf(1 - 1e-3, seeds, 0.65)  # and not by being wide


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("hours", [10 * DAY + 5, 30 * DAY + 11, 60 * DAY + 2])
@pytest.mark.parametrize(
    "world", [USUAL, STEADY, SMALL, LASTING], ids=["usual", "steady", "small", "lasting"]
)
def test_intervals_hold_over_many_seeds(world: World, hours: int) -> None:
    seeds = 300
    found = held(world, hours, seeds)
    logging.getLogger(__name__).info("%s", {key: round(count / seeds, 3) for key, count in found.items()})
    for horizon in (DAY, WEEK):
        assert found[horizon, 0.9] >= binom.ppf(0.01, seeds, 0.86), horizon
        assert found[horizon, 0.99] >= binom.ppf(0.01, seeds, 0.97), horizon
    assert found[DAY, 0.9] <= binom.ppf(0.99, seeds, 0.96)
