"""A whole forecast run, from counts and estimates to tomorrow's count."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import binom
from support.weighted_estimates import NOON, weighted_estimate

from riskmon.config import ForecastConfig
from riskmon.forecast import make_forecasts
from riskmon.records import Forecast, Stratum, VolumeWindow, WeightedEstimate
from riskmon.records.coverage import CoverageCount

HOUR = timedelta(hours=1)
CHAT, CODE = Stratum((("route", "chat"),)), Stratum((("route", "code"),))


def run(
    windows: list[VolumeWindow],
    estimates: list[WeightedEstimate],
    *,
    config: ForecastConfig | None = None,
    harms: tuple[str, ...] = ("misuse",),
    seed: int = 1,
    coverage: tuple[CoverageCount, ...] = (),
) -> list[Forecast]:
    return make_forecasts(
        config or ForecastConfig(),
        window=HOUR,
        windows=windows,
        estimates=estimates,
        harms=harms,
        now=NOON,
        rng=np.random.default_rng(seed),
        coverage=coverage,
    )


def test_the_lookback_bounds_estimates_and_not_counts() -> None:
    windows = [VolumeWindow(NOON - k * HOUR, CHAT, 10 * k) for k in (1, 2, 3, 4)]
    estimates = [
        weighted_estimate(p, stderr=0.0, stratum=CHAT, hits=50, window_start=NOON - k * HOUR)
        for k, p in ((2, 0.01), (3, 0.04), (4, 0.9))
    ]
    chat, _ = run(windows, estimates, config=ForecastConfig(lookback=3 * HOUR))
    assert chat.requests == pytest.approx((10 + 20 + 30 + 40) * 24 / 4)
    assert chat.harm_probability == pytest.approx(0.025)
    assert chat.basis == "rate of the last 4.0 h, scaled"


def test_the_audit_of_all_days_bounds_what_the_lookback_alone_cannot() -> None:
    windows = [VolumeWindow(NOON - HOUR, CHAT, 1_000)]
    estimates = [
        weighted_estimate(0.0, stratum=CHAT, target_draws=50, window_start=NOON - HOUR) for _ in range(40)
    ]
    alone, _ = run(windows, estimates)
    pooled, _ = run(windows, estimates, coverage=(CoverageCount("misuse", CHAT, 20_000, 0),))
    assert alone.harm_probability_upper == pytest.approx(-np.log(0.05) / 2_000, rel=0.1)
    assert pooled.harm_probability_upper == pytest.approx(-np.log(0.05) / 20_000, rel=0.1)


def test_harms_share_the_same_possible_days_and_a_seed_repeats_them() -> None:
    windows = [VolumeWindow(NOON - k * HOUR, CHAT, 500) for k in range(1, 25)]
    estimates = [
        weighted_estimate(p, stderr=0.0, stratum=CHAT, harm=harm, hits=50)
        for harm, p in (("insult", 0.02), ("misuse", 0.001))
        for _ in range(100)
    ]
    got = run(windows, estimates, harms=("misuse", "insult"))
    assert [(f.harm, f.stratum) for f in got] == [
        ("misuse", CHAT),
        ("misuse", None),
        ("insult", CHAT),
        ("insult", None),
    ]
    assert got[2].expected == pytest.approx(240)
    assert got == run(windows, estimates, harms=("misuse", "insult"))
    assert run([], estimates) == []
    assert run(windows, []) == []


def test_tomorrows_count_falls_into_the_interval() -> None:
    """Two strata of unlike volume and risk, 100 days: the 90% interval of the total holds the count."""
    rng = np.random.default_rng(77)
    world = {CHAT: (400, 2e-4), CODE: (40, 5e-3)}  # requests per hour, mean p
    days, held, missed_above = 100, 0, 0
    for day in range(days):
        windows, estimates, tomorrow = [], [], 0
        for stratum, (hourly, mean) in world.items():
            counts = rng.poisson(hourly, size=24)
            windows += [VolumeWindow(NOON - (k + 1) * HOUR, stratum, int(n)) for k, n in enumerate(counts)]
            p = rng.lognormal(np.log(mean) - 0.5, 1.0, size=60)
            hits = rng.binomial(300, p)
            estimates += [
                weighted_estimate(
                    k / 300,
                    stderr=float(np.sqrt(k * (300 - k) / 300**3)) if k else None,
                    stratum=stratum,
                    weight=float(counts.sum() / 60),
                    population=int(counts.sum()),
                    hits=int(k),
                    target_draws=300,
                )
                for k in hits
            ]
            tomorrow += rng.poisson(24 * hourly * mean)
        total = run(windows, estimates, config=ForecastConfig(draws=1_000), seed=day)[-1]
        held += total.lower <= tomorrow <= total.upper
        missed_above += tomorrow > total.upper
    assert held >= binom.ppf(0.001, days, 0.9)
    assert missed_above <= binom.ppf(0.999, days, 0.05)
