"""Volume times probability, with volume held fixed where an exact answer is wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2, poisson
from support.weighted_estimates import NOON, weighted_estimate

from riskmon.forecast.aggregate import forecast
from riskmon.forecast.volume import VolumePrediction
from riskmon.records import Forecast, Stratum, WeightedEstimate
from riskmon.records.coverage import CoverageCount

CHAT, CODE, MAIL = (Stratum((("route", name),)) for name in ("chat", "code", "mail"))
DRAWS = 20_000


def first_hour(requests: np.ndarray, basis: str) -> VolumePrediction:
    """A day whose [B] draws all fall into its first hour; their mean is expected."""
    draws = np.zeros((len(requests), 24))
    draws[:, 0] = requests
    return VolumePrediction(draws.mean(axis=0), draws, basis)


def fixed(requests: float) -> VolumePrediction:
    return first_hour(np.full(DRAWS, requests), "requests of the last 24 h")


def run(
    estimates: list[WeightedEstimate],
    volume: dict[Stratum, VolumePrediction],
    harms: tuple[str, ...] = ("misuse",),
    coverage: tuple[CoverageCount, ...] = (),
) -> list[Forecast]:
    rng = np.random.default_rng(8)
    return forecast(estimates, volume, harms, now=NOON, draws=DRAWS, rng=rng, coverage=coverage)


def alike(
    p: float, m: int, *, stratum: Stratum, hits: int = 20, target_draws: int = 10**6
) -> list[WeightedEstimate]:
    """Equal prompts, as a rule with so many draws of the target that little stays unseen."""
    one = weighted_estimate(p, stderr=0.0, stratum=stratum, hits=hits, target_draws=target_draws)
    return [one] * m


def test_strata_in_order_then_the_total_with_weighted_point_figures() -> None:
    estimates = [
        *alike(0.002, 300, stratum=CODE),
        weighted_estimate(0.01, stderr=0.0, weight=3, stratum=CHAT, hits=30),
        weighted_estimate(0.05, stderr=0.0, weight=1, stratum=CHAT, hits=30),
    ]
    chat, code, total = run(estimates, {CODE: fixed(5_000), CHAT: fixed(1_000)})
    assert [f.stratum for f in (chat, code, total)] == [CHAT, CODE, None]
    assert chat.harm_probability == pytest.approx(0.02)
    assert chat.expected == pytest.approx(20)
    assert code.expected == pytest.approx(10)
    assert total.expected == pytest.approx(30)
    assert total.requests == 6_000
    assert total.harm_probability == pytest.approx(30 / 6_000)
    assert (chat.prompts, code.prompts, total.prompts) == (2, 300, 302)
    assert (chat.hits, total.hits) == (60, 6_060)
    assert total.made_at == NOON
    assert total.basis == "requests of the last 24 h"


def test_a_certain_rate_leaves_the_poisson_interval() -> None:
    got, total = run(alike(0.003, 5_000, stratum=CHAT), {CHAT: fixed(10_000)})
    assert got.lower == pytest.approx(poisson.ppf(0.05, 30), abs=1)
    assert got.upper == pytest.approx(poisson.ppf(0.95, 30), abs=1)
    assert got.harm_probability_upper == pytest.approx(0.003, rel=1e-3)
    assert (total.expected, total.harm_probability) == (got.expected, got.harm_probability)
    rare, _ = run(alike(2e-5, 5_000, stratum=CHAT), {CHAT: fixed(10_000)})
    assert rare.any_probability == pytest.approx(1 - np.exp(-0.2), rel=0.01)
    assert (rare.lower, rare.upper) == (0, 1)


def test_zero_hits_are_unbiased_and_still_bounded() -> None:
    estimates = [weighted_estimate(0.0, target_draws=50, stratum=CHAT) for _ in range(100)]
    got, _ = run(estimates, {CHAT: fixed(15_000)})
    assert (got.expected, got.harm_probability, got.lower, got.hits) == (0, 0, 0, 0)
    assert got.harm_probability_upper == pytest.approx(-np.log(0.05) / 5_000, rel=0.03)
    # The count is Poisson given an exponential rate, hence geometric: P(K > k) = (V / (V + n0))^(k + 1).
    assert got.upper == pytest.approx(np.ceil(np.log(0.05) / np.log(15 / 20) - 1), abs=1)
    assert got.any_probability == pytest.approx(15_000 / (15_000 + 5_000), rel=0.02)


def test_without_draws_of_the_target_nothing_is_excluded() -> None:
    got, total = run([weighted_estimate(0.0, target_draws=0, stratum=CHAT)], {CHAT: fixed(40)})
    assert got.expected == 0
    assert got.harm_probability_upper == 1.0
    assert total.harm_probability_upper == 1.0
    assert got.upper >= 40


def test_intervals_do_not_add_and_the_total_has_one_unseen_event() -> None:
    estimates = [
        weighted_estimate(0.0, target_draws=n0, stratum=stratum)
        for stratum, n0 in ((CHAT, 1_000), (CODE, 500))
        for _ in range(10)
    ]
    chat, code, total = run(estimates, {CHAT: fixed(10_000), CODE: fixed(10_000)})
    assert code.upper > chat.upper > 0
    assert total.upper == pytest.approx(code.upper, abs=1)
    assert total.any_probability >= code.any_probability > chat.any_probability
    assert total.upper < 0.75 * (chat.upper + code.upper)


def test_strata_with_draws_in_proportion_to_traffic_are_as_one() -> None:
    """Draws are pooled over strata: the limit of the total rests on all of them."""
    estimates = [
        weighted_estimate(0.0, target_draws=n0, stratum=stratum)
        for stratum, n0 in ((CHAT, 9_000), (CODE, 1_000))
    ]
    *_, total = run(estimates, {CHAT: fixed(90_000), CODE: fixed(10_000)})
    assert total.harm_probability_upper == pytest.approx(-np.log(0.05) / 10_000, rel=0.03)


def test_the_limit_is_continuous_in_the_hits_of_the_proposals() -> None:
    """Covered harm of 9e-6 behind nine hits or ten: the limit is that of the target's own 15,000 draws."""
    volume = {CHAT: fixed(1_000_000)}
    rest = alike(9e-6, 99, stratum=CHAT, hits=0, target_draws=150)
    nine, ten = (
        run([weighted_estimate(9e-6, stderr=0.0, stratum=CHAT, hits=hits, target_draws=150), *rest], volume)
        for hits in (9, 10)
    )
    for few, more in zip(nine, ten, strict=True):
        assert (few.hits, more.hits) == (9, 10)
        assert replace(few, hits=10) == more
        assert more.harm_probability_upper == pytest.approx(9e-6 - np.log(0.05) / 15_000, rel=0.03)


def test_draws_of_earlier_days_move_the_limits_and_no_point_figure() -> None:
    estimates = alike(0.0, 100, stratum=CHAT, hits=0, target_draws=50)
    volume = {CHAT: fixed(100_000)}
    alone, _ = run(estimates, volume)
    other = CoverageCount("insult", CHAT, 10**9, 10**6), CoverageCount("misuse", None, 10**9, 10**6)
    assert run(estimates, volume, coverage=other)[0] == alone  # another harm; all strata together
    week, total = run(estimates, volume, coverage=(CoverageCount("misuse", CHAT, 35_000, 0),))
    assert week.harm_probability_upper == pytest.approx(-np.log(0.05) / 35_000, rel=0.03)
    seen, _ = run(estimates, volume, coverage=(CoverageCount("misuse", CHAT, 35_000, 3),))
    assert seen.harm_probability_upper == pytest.approx(chi2.ppf(0.95, 8) / 2 / 35_000, rel=0.03)
    assert total.harm_probability_upper == pytest.approx(week.harm_probability_upper)
    assert week.upper < seen.upper < alone.upper
    none_given = {hits: (35 / 135) ** (hits + 1) for hits in (0, 3)}  # negative binomial
    assert week.any_probability == pytest.approx(1 - none_given[0], rel=0.01)
    assert seen.any_probability == pytest.approx(1 - none_given[3], rel=0.01)
    for made in (week, seen):
        assert (made.expected, made.harm_probability, made.lower) == (0, 0, 0)


def test_total_draws_are_joint_over_strata() -> None:
    shared = np.random.default_rng(0).gamma(4, 25_000, size=DRAWS)
    volume = {s: first_hour(shared, "rate of the last 2.0 h, scaled") for s in (CHAT, CODE)}
    chat, _, total = run(alike(0.01, 2_000, stratum=CHAT) + alike(0.01, 2_000, stratum=CODE), volume)
    assert total.upper == pytest.approx(2 * chat.upper, rel=0.02)
    assert total.lower == pytest.approx(2 * chat.lower, rel=0.02)


def test_a_stratum_without_estimates_is_unknown_not_harmless() -> None:
    estimates = [
        *[replace(item, weight=30.0) for item in alike(0.001, 100, stratum=CHAT)],
        *[replace(item, weight=10.0) for item in alike(0.009, 100, stratum=CODE)],
    ]
    chat, code, mail, total = run(estimates, {s: fixed(1_000) for s in (CHAT, CODE, MAIL)})
    assert mail.harm_probability == pytest.approx(0.003)
    assert (mail.prompts, mail.hits, mail.worst_query_probability) == (0, 0, None)
    assert mail.basis == "requests of the last 24 h; no estimates yet: pooled p of other strata"
    assert mail.upper == pytest.approx(code.upper, abs=3)  # it may be like the worse of the two
    assert total.expected == pytest.approx(1 + 9 + 3)
    assert total.basis.endswith("no estimates yet in 1 of 3 strata: pooled p of other strata")
    assert "no estimates" not in chat.basis


def test_estimates_of_strata_without_volume_only_lend() -> None:
    mail, total = run(alike(0.01, 50, stratum=CHAT), {MAIL: fixed(200)})
    assert mail.expected == total.expected == pytest.approx(2)
    assert (total.prompts, total.worst_query_probability) == (0, None)


def test_a_harm_without_estimates_has_no_forecast() -> None:
    estimates = [*alike(0.01, 5, stratum=CHAT), weighted_estimate(0.5, harm="gossip", stratum=CHAT)]
    got = run(estimates, {CHAT: fixed(10)}, harms=("insult", "misuse"))
    assert [f.harm for f in got] == ["misuse", "misuse"]
    assert run(estimates, {}) == []
    assert run([replace(item, weight=0.0) for item in estimates], {CHAT: fixed(10)}) == []


def test_the_worst_query_of_the_total_weighs_strata_by_volume() -> None:
    """Ten large p in a stratum that is a thousandth of the traffic are rarer than the sample makes them."""
    rng = np.random.default_rng(6)
    estimates = [
        weighted_estimate(float(p), stderr=0.0, stratum=stratum, hits=20)
        for stratum, scale in ((CHAT, 1e-7), (CODE, 1e-3))
        for p in scale * rng.lognormal(0, 0.5, size=100)
    ]
    even = run(estimates, {CHAT: fixed(5_000), CODE: fixed(5_000)})[-1]
    tilted = run(estimates, {CHAT: fixed(9_990), CODE: fixed(10)})[-1]
    largest = max(item.estimate.p for item in estimates)
    assert tilted.worst_query_probability == largest
    assert even.worst_query_probability is not None
    assert even.worst_query_probability > 1.2 * largest
