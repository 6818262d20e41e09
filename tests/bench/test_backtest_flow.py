"""Weeks of forecasts and judged responses through a real store: right forecasts pass, wrong ones are called out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom
from support.deployment_store import Life, settings

from riskmon import jobs
from riskmon.bench.deployment_risk import Harm, Lognormal, Sampler
from riskmon.bench.deployment_traffic import DAY, HOUR, START, Traffic
from riskmon.bench.deployments import HARM, Deployment, Part, World, simulate
from riskmon.forecast import back_test
from riskmon.publish import Facts
from riskmon.publish.attention import concerns
from riskmon.publish.metrics import build_registry
from riskmon.store import open_store

HISTORY = 4
"""Days of traffic before the first forecast."""


def deployment(days: int, per_window: int, daily: Mapping[str, float], seed: int) -> Deployment:
    parts = {
        name: Part(Traffic(requests, weekend=0.9), Harm(Lognormal(0.1, 0.5)))
        for name, requests in daily.items()
    }
    sampler = Sampler(prompts_per_window=per_window)
    return simulate(World(parts, days=days, sampler=sampler, judged_per_window=per_window), seed)


@pytest.mark.parametrize(("seen", "days"), [(1.0, 18), (1 / 3, 14)], ids=["right", "three times too low"])
def test_weeks_through_a_store_come_out_as_they_are(tmp_path: Path, seen: float, days: int) -> None:
    world, config, now = deployment(days, 6, {"chat": 40_000}, 3), settings(tmp_path), START + days * DAY
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        life = Life(store, world, config, seen=seen)
        life.live(0, HISTORY, sampled=False)
        life.live(HISTORY, days)
        total, stratum = made = jobs.back_test(store, config, "run", now + HOUR)
        assert store.backtests() == made
        # The text is gone and its counts are there; the way through the store changes nothing.
        assert len(store.sampled_prompts(START)) <= 3 * 24 * 6
        windows = world.judged_windows(now)
        sampled = START + HISTORY * DAY
        assert store.history.judged_windows(sampled) == [
            window for window in windows if window.start >= sampled
        ]
        direct = back_test(
            store.history.daily_forecasts(START, now),
            windows,
            window=HOUR,
            until=now,
            rng=np.random.default_rng(0),
        )
        assert made == direct
        snapshot = store.snapshot(now + HOUR)

    scored = days - HISTORY - 1
    assert len(total.rows) == len(stratum.rows) == total.told == scored
    facts = Facts.from_config(config, version="1")
    metric = build_registry(lambda: snapshot, lambda: facts).get_sample_value
    harm = {"harm": HARM}
    above = metric("riskmon_backtest_above_forecasts", harm)
    ninety = metric("riskmon_backtest_interval_coverage_ratio", {**harm, "level": "0.9"})
    error = metric("riskmon_backtest_median_error_ratio", harm)
    sampling = metric("riskmon_backtest_observation_error_ratio", harm)
    doubts = [line for line in concerns(snapshot, facts, {}, []) if "production responses" in line]
    assert metric("riskmon_backtest_scored_forecasts", harm) == scored
    assert metric("riskmon_backtest_last_success_timestamp_seconds") == (now + HOUR).timestamp()
    assert above is not None
    assert ninety is not None
    assert error is not None
    assert sampling is not None
    if seen == 1:
        assert ninety * scored >= binom.ppf(0.001, scored, 0.9)
        assert above <= binom.ppf(0.999, scored, 0.05)
        # What ten to twenty flagged responses a day leave of a forecast that is right.
        assert error < 1.5 * sampling
        assert doubts == []
    else:
        assert above >= 0.6 * scored
        assert ninety < 0.4
        assert error == pytest.approx(3, rel=0.3)
        assert [line.endswith("forecasts are too low.") for line in doubts] == [True]


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_months_of_right_forecasts_hold_as_often_as_they_claim(tmp_path: Path) -> None:
    """Two strata over four months, back-tested every thirty days; each forecast is scored once."""
    days, daily = 125, {"chat": 60_000.0, "code": 9_000.0}
    world, config = deployment(days, 8, daily, 5), settings(tmp_path)
    rows = {}
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        life = Life(store, world, config)
        life.live(0, HISTORY, sampled=False)
        for first in range(HISTORY, days, 30):
            end = min(first + 30, days)
            life.live(first, end)
            for test in jobs.back_test(store, config, "run", START + end * DAY + HOUR):
                rows |= {(row.made_at, row.stratum): row for row in test.rows}
    for stratum in (None, *world.strata):
        own = [row for row in rows.values() if row.stratum == stratum]
        assert len(own) == days - HISTORY - 1
        assert all(row.told for row in own)
        for level in (0.5, 0.9, 0.99):
            tail = (1 - level) / 2
            held = sum(row.chance_lower >= tail and row.chance_upper >= tail for row in own)
            # A day's estimates and counts lie in two rows, so these are fewer than independent ones.
            assert held >= binom.ppf(0.001, len(own) // 2, level) / (len(own) // 2) * len(own), level
