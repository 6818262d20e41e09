"""A whole forecast run, from counts and estimates to tomorrow's count."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np
import pytest
from scipy.stats import binom
from support.weighted_estimates import NOON, weighted_estimate

from riskmon.config import ForecastConfig
from riskmon.config.volume import VolumeConfig
from riskmon.forecast import make_forecasts
from riskmon.forecast.outlook import local_day, predict_volume
from riskmon.records import Forecast, Horizon, Stratum, VolumeWindow, WeightedEstimate
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
    return [
        made
        for made in outlook(windows, estimates, config=config, harms=harms, seed=seed, coverage=coverage)
        if made.horizon is Horizon.DAY
    ]


def outlook(
    windows: list[VolumeWindow],
    estimates: list[WeightedEstimate],
    *,
    config: ForecastConfig | None = None,
    harms: tuple[str, ...] = ("misuse",),
    seed: int = 1,
    coverage: tuple[CoverageCount, ...] = (),
    budgets: Mapping[str, float] = MappingProxyType({}),
    volume: VolumeConfig | None = None,
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
        budgets=budgets,
        volume_config=volume,
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
    """Two strata of unlike volume and risk, 50 days: the 90% interval of the total holds the count."""
    rng = np.random.default_rng(77)
    world = {CHAT: (400, 2e-4), CODE: (40, 5e-3)}  # requests per hour, mean p
    days, held, missed_above = 50, 0, 0
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


def test_the_outlook_is_the_totals_of_today_and_of_a_week() -> None:
    """A steady 1,000 requests an hour: today's are those counted since midnight and those of the hours left."""
    windows = [
        VolumeWindow(NOON - k * HOUR, stratum, requests)
        for k in range(1, 24 * 21)
        for stratum, requests in ((CHAT, 900), (CODE, 100))
    ]
    estimates = [
        weighted_estimate(p, stderr=0.0, stratum=stratum, hits=50, weight=weight, target_draws=10**6)
        for stratum, p, weight in ((CHAT, 1e-3, 9.0), (CODE, 5e-3, 1.0))
        for _ in range(400)
    ]
    made = outlook(windows, estimates, budgets={"misuse": 30.0})
    assert [(f.horizon, f.stratum) for f in made] == [
        (Horizon.DAY, CHAT),
        (Horizon.DAY, CODE),
        (Horizon.DAY, None),
        (Horizon.TODAY, None),
        (Horizon.WEEK, None),
    ]
    day, today, week = made[2:]
    assert today.requests == pytest.approx(24_000, rel=0.01)
    assert today.basis.startswith("12000 counted since midnight; ")
    assert week.requests == pytest.approx(7 * 24_000, rel=0.02)
    assert day.harm_probability == today.harm_probability == week.harm_probability == pytest.approx(0.0014)
    for total in (day, today, week):
        assert total.expected == pytest.approx(0.0014 * total.requests)
        assert total.lower_50 is not None
        assert total.upper_50 is not None
        assert total.lower_99 is not None
        assert total.upper_99 is not None
        assert (
            total.lower_99 < total.lower < total.lower_50 < total.expected
            < total.upper_50 < total.upper < total.upper_99
        )  # fmt: skip
        assert total.retry_probability == pytest.approx(0.9 * (1 - 0.999**10) + 0.1 * (1 - 0.995**10))
        assert total.retries == 10
    # Twelve of today's hours are known, so it is the surer of the two.
    assert (today.requests_stderr or 0) < (day.requests_stderr or 0)
    assert day.over_budget_probability == pytest.approx(binom.sf(30, 10**6, day.expected / 10**6), abs=0.06)
    assert week.over_budget_probability is not None
    assert week.over_budget_probability == pytest.approx(binom.sf(210, 10**6, week.expected / 10**6), abs=0.1)
    assert [f.over_budget_probability for f in made[:2]] == [None, None]


@pytest.mark.parametrize(
    ("now", "zone", "hours"),
    [
        (datetime(2026, 3, 28, 23, 30, tzinfo=UTC), "Europe/Berlin", 23),  # clocks go forward on the 29th
        (datetime(2026, 10, 25, 12, 0, tzinfo=UTC), "Europe/Berlin", 25),
        (datetime(2026, 7, 1, 23, 59, tzinfo=UTC), "America/Los_Angeles", 24),
        (datetime(2026, 7, 1, 0, 0, tzinfo=UTC), "UTC", 24),
    ],
)
def test_a_local_day_lasts_as_long_as_the_clock_says(now: datetime, zone: str, hours: int) -> None:
    begin, end = local_day(now, VolumeConfig(timezone=zone))
    assert begin <= now < end
    assert end - begin == hours * HOUR


def test_a_window_across_midnight_counts_by_the_time_that_lies_in_today() -> None:
    """Windows of six hours from 22:00: of the one across midnight four hours are today's."""
    window = 6 * HOUR
    starts = [NOON - 14 * HOUR - k * window for k in range(40)] + [NOON - 8 * HOUR, NOON - 2 * HOUR]
    windows = [VolumeWindow(start, CHAT, 600) for start in starts[:-1]] + [
        VolumeWindow(starts[-1], CHAT, 200)
    ]
    strata, found = predict_volume(
        windows,
        window=window,
        now=NOON,
        draws=200,
        rng=np.random.default_rng(1),
        config=VolumeConfig(),
    )
    assert list(strata) == [CHAT]
    assert found[Horizon.TODAY].basis.startswith("1200 counted since midnight; ")
