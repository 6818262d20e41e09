"""Simulated deployments: what they show is what they are made of, and the scores add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import binom, chi2

from riskmon.bench.deployment_risk import Harm, Judge, Lognormal, Pareto, Points, Risk, Sampler, estimate
from riskmon.bench.deployment_scores import PARTS, forecast_at, render, run_entry, score
from riskmon.bench.deployment_traffic import DAY, HOUR, START, Traffic
from riskmon.bench.deployment_worlds import CATALOGUE, build
from riskmon.bench.deployments import HARM, Part, World, simulate
from riskmon.config import ForecastConfig
from riskmon.forecast.backtest import back_test
from riskmon.records import Forecast, Horizon

STEADY = Traffic(2.4e6, swing=0.4, weekend=0.5, hour_noise=0.0, day_noise=0.0)


def world(harm: Harm, traffic: Traffic = STEADY, **settings: object) -> World:
    return replace(World({"chat": Part(traffic, harm)}), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "risk",
    [
        Points((1e-3, 0.4), (0.7, 0.3)),
        Lognormal(1e-2, 1.0),
        Lognormal(5e-2, 2.5),
        Pareto(1e-3, 1.5),
        Pareto(1e-3, 0.8),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_means_of_p_are_those_of_its_draws(risk: Risk, scale: float) -> None:
    p = risk.draw(400_000, np.full(400_000, scale), np.random.default_rng(3))
    assert p.max() <= 1
    mean = risk.mean(np.array([scale]))[0]
    assert abs(p.mean() - mean) < 4.5 * p.std() / np.sqrt(len(p))


def test_traffic_has_its_cycle_weekends_trend_and_steps() -> None:
    means = replace(STEADY, trend=0.01, steps=((10.0, 3.0),), launched=1.0, gone=26.0).means(28 * 24)
    day = means.reshape(28, 24)
    assert day[0].sum() == day[27].sum() == 0
    assert day[4].sum() == pytest.approx(2.4e6 * np.exp(0.045), rel=0.02)
    # START is a Monday, so days 5 and 6 are a weekend; the step comes with day 10.
    assert day[5].sum() / day[4].sum() == pytest.approx(0.5 * np.exp(0.01), rel=1e-3)
    assert day[11].sum() / day[4].sum() == pytest.approx(3 * np.exp(0.07), rel=1e-3)
    assert np.argmax(day[2]) == 14
    assert day[2].max() / day[2].min() == pytest.approx(1.4 / 0.6, rel=0.01)


def test_counts_are_poisson_or_wider() -> None:
    steady = Traffic(24_000, swing=0.0, weekend=1.0, hour_noise=0.0, day_noise=0.0)
    rng = np.random.default_rng(4)
    plain = steady.draw(4_800, rng)
    assert plain.var() / plain.mean() == pytest.approx(1, abs=0.1)
    wide = replace(steady, hour_noise=0.1).draw(4_800, rng)
    assert wide.var() / wide.mean() == pytest.approx(1 + 1_000 * 0.1**2, rel=0.1)
    days = replace(steady, day_noise=0.2).draw(24 * 2_000, rng).reshape(-1, 24).sum(axis=1)
    assert days.std() / days.mean() == pytest.approx(0.2, rel=0.08)


def test_estimates_are_unbiased_and_their_errors_honest() -> None:
    rng = np.random.default_rng(5)
    size = 200_000
    got = estimate(np.full(size, 1e-4), np.full(size, 1e-3), Judge(), Sampler(hits=8), rng)
    assert got.p.mean() == pytest.approx(1.1e-3, rel=0.02)
    assert np.mean(got.stderr**2) == pytest.approx(got.p.var(), rel=0.05)
    assert got.gap.mean() == pytest.approx(50 * 1e-3, rel=0.03)
    assert got.hits.mean() == pytest.approx(8, rel=0.02)
    # Frequent harm is known at least as well as from plain draws.
    often = estimate(np.full(size, 0.3), np.zeros(size), Judge(), Sampler(hits=1), rng)
    assert often.p.std() / 0.3 < 1.3 * np.sqrt(0.7 / 0.3 / 500)


def test_a_judge_with_errors_sees_flagged_answers() -> None:
    rng = np.random.default_rng(6)
    got = estimate(np.full(100_000, 1e-3), np.zeros(100_000), Judge(0.8, 0.99, 1, 1), Sampler(), rng)
    assert got.p.mean() == pytest.approx(0.8 * 1e-3 + 0.01 * (1 - 1e-3), rel=0.01)
    assert (got.true == 1e-3).all()
    d = simulate(
        world(Harm(Points((0.02,), (1.0,))), judge=Judge(0.8, 0.99, 500, 5_000), judged_per_window=1_000), 1
    )
    rate = d.flagged.sum() / d.judged.sum()
    assert rate == pytest.approx(0.8 * 0.02 + 0.01 * 0.98, rel=0.02)
    error = d.judge_errors[HARM]
    assert error.true_positive / error.harmful == pytest.approx(0.8, abs=0.08)
    assert error.false_positive / error.harmless == pytest.approx(0.01, abs=0.007)


def test_counts_of_harm_follow_traffic_and_risk() -> None:
    harm = Harm(
        Lognormal(1e-4, 1.0), missed=Points((0.0, 1e-3), (0.9, 0.1)), drift=0.02, steps=((14.0, 0.25),)
    )
    d = simulate(world(harm, judged_per_window=5_000), 2)
    mean = d.requests * d.mean_p
    assert ((d.harmful - mean) ** 2 / mean).sum() < chi2.ppf(0.9999, d.harmful.size)
    assert d.mean_p[0, 0] == pytest.approx(2e-4, rel=1e-3)
    assert d.mean_p[0, 20 * 24] == pytest.approx(2e-4 * np.exp(0.4) / 4, rel=1e-3)
    read = d.judged_windows(START + 28 * DAY)
    assert sum(w.harmful for w in read) == pytest.approx(float((d.judged * d.mean_p).sum()), rel=0.1)
    assert all(w.harmful <= w.judged <= w.requests for w in read)


def test_records_stand_for_the_traffic_and_stay_the_same() -> None:
    mixed = build("mixed strata", 3)
    now = START + 20 * DAY + 5 * HOUR
    one, two = simulate(mixed, 3), simulate(mixed, 3)
    two.estimates(now - 3 * DAY)  # asked in another order
    two.coverage(now)
    items = one.estimates(now)
    assert items == two.estimates(now)
    assert one.windows(now) == two.windows(now)
    assert simulate(mixed, 4).windows(now) != one.windows(now)
    recent = [w for w in one.windows(now) if w.start >= now - DAY]
    assert sum(i.weight for i in items) == pytest.approx(sum(w.requests for w in recent))
    assert all(w.start + HOUR <= now for w in one.windows(now))
    assert {i.cell for i in items} == {(w.start, w.stratum) for w in recent}
    weighted = sum(i.weight * i.estimate.p for i in items if i.estimate.stratum == one.strata[0])
    population = sum(w.requests for w in recent if w.stratum == one.strata[0])
    assert one.sampled_p(now)[one.strata[0]][1] == pytest.approx(weighted / population)


def test_the_audit_counts_the_targets_own_draws() -> None:
    d = simulate(world(Harm(Lognormal(1e-6, 1.0), missed=Points((2e-3,), (1.0,)))), 7)
    now = START + 10 * DAY
    stratum, total = d.coverage(now)
    assert stratum.target_draws == total.target_draws == 7 * 24 * 12 * 50
    assert stratum.gap_hits == pytest.approx(2e-3 * stratum.target_draws, rel=0.25)
    day = d.coverage(now, timedelta(days=1))[0]
    assert day.gap_hits == sum(i.estimate.gap_hits for i in d.estimates(now))


def test_small_strata_are_sampled_whole() -> None:
    tiny = Traffic(60, swing=0.5, hour_noise=0.0, day_noise=0.0)
    d = simulate(world(Harm(Points((0.1,), (1.0,))), traffic=tiny), 8)
    items = d.estimates(START + 9 * DAY)
    assert {i.weight for i in items} == {1.0}
    assert len(items) == d.requests[0, 8 * 24 : 9 * 24].sum()


def test_every_world_of_the_catalogue_can_be_forecast() -> None:
    for name in CATALOGUE:
        outcome = run_entry(name, [11], days=[1], config=ForecastConfig(draws=200))[0]
        error = outcome.forecast.expected - outcome.harmful
        assert sum(outcome.parts.values()) == pytest.approx(error, rel=1e-6, abs=1e-6)
        assert set(outcome.parts) == set(PARTS)


def test_the_parts_of_an_error_are_those_that_were_put_in() -> None:
    alike = run_entry("one point", range(6), days=[1])
    assert max(abs(o.parts["prompts"]) / max(o.mean, 1) for o in alike) < 1e-9
    few = run_entry("few prompts", range(6), days=[1])
    # A lognormal of log-sd 1 has a relative sd of 1.3, and 24 prompts of it 0.27.
    assert 0.1 < np.std([o.parts["prompts"] / o.mean for o in few]) < 0.6
    assert score("rare", run_entry("rare", range(6), days=[1])).dominant == "count"
    step = run_entry("stepping", range(12), days=[0, 3])
    assert max(abs(o.parts["drift"]) / max(o.mean, 1) for o in step) > 0.4
    assert all(abs(o.parts["drift"]) / max(o.mean, 1) < 1e-9 for o in few)


@pytest.mark.parametrize("name", ["two points", "lognormal 1", "mixed strata"])
def test_intervals_hold_the_true_count(name: str) -> None:
    """A binomial tolerance for 25 worlds; what hundreds of seeds say is in the slow tests."""
    seeds = 25
    got = score(name, run_entry(name, range(seeds), days=[1]))
    assert got.held >= binom.ppf(0.001, seeds, 0.86) / seeds
    assert name in render([got])


def total_of(forecasts: list[Forecast]) -> Forecast:
    """The total of the next 24 hours."""
    (total,) = (one for one in forecasts if one.stratum is None and one.horizon is Horizon.DAY)
    return total


def test_the_back_test_finds_from_samples_what_the_truth_says() -> None:
    """Half a million responses judged a day, so that the sample adds little: the same share of intervals holds."""
    seed, first, last = 2, 8, 40
    d = simulate(replace(build("missed often", seed), days=last + 1, judged_per_window=20_000), seed)
    made, held = [], []
    for day in range(first, last):
        now = START + day * DAY
        forecasts = forecast_at(d, now, ForecastConfig(draws=400))
        made += forecasts
        total_made = total_of(forecasts)
        held.append(total_made.lower <= d.truth(now).total <= total_made.upper)
    until = START + (last + 1) * DAY
    total, stratum = back_test(
        made, d.judged_windows(until), window=HOUR, until=until, rng=np.random.default_rng(0)
    )
    assert len(total.rows) == len(stratum.rows) == len(held)
    ninety = total.intervals[1]
    assert ninety.of == len(held)
    assert ninety.held / ninety.of == pytest.approx(np.mean(held), abs=0.1)


def test_the_back_test_notices_a_forecast_that_is_off() -> None:
    d = simulate(replace(build("lognormal 1", 5), days=30, judged_per_window=20_000), 5)
    made = []
    for day in range(8, 28):
        total = total_of(forecast_at(d, START + day * DAY, ForecastConfig(draws=400)))
        made.append(replace(total, expected=total.expected / 4, lower=total.lower / 4, upper=total.upper / 4))
    until = START + 30 * DAY
    got = back_test(made, d.judged_windows(until), window=HOUR, until=until, rng=np.random.default_rng(0))[0]
    assert d.judged.sum() * d.mean_p.mean() / 30 > 20  # enough harmful ones a day to see it
    assert got.above > 15
    assert got.median_error == pytest.approx(4, rel=0.25)
