"""Every figure made from weights stays right where prompts are sampled by risk and weights are unequal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from support.weighted_estimates import NOON, weighted_estimate

from riskmon.forecast.backtest_count import count_strata
from riskmon.forecast.hajek import hajek_variance
from riskmon.forecast.harm_rate import HarmRate, HarmSample, harm_rate
from riskmon.forecast.moved import DAY, moves
from riskmon.forecast.retry import retry_risk
from riskmon.forecast.worst_query import worst_query_probability
from riskmon.records import FloatArray, IntArray, JudgedWindow, Stratum, WeightedEstimate
from riskmon.sensitivity.contributors import top_contributors
from riskmon.statistics import effective_counts

REQUESTS, KEPT = 4_000, 100
RNG = np.random.default_rng(8)
P = np.minimum(np.exp(RNG.normal(-8.0, 2.0, REQUESTS)), 1.0)
NOISE = np.exp(RNG.normal(0.0, 0.7, REQUESTS))
SIZES = {
    "alike": np.ones(REQUESTS),
    "good": np.clip(0.1 + 0.9 * P * NOISE / (P * NOISE).mean(), 0.1, 10.0),
    "wrong": np.clip(1 / (0.1 + 0.9 * P / P.mean()), 0.1, 10.0),
}


def sampled(sizes: FloatArray, rng: np.random.Generator, kept: int = KEPT) -> tuple[IntArray, FloatArray]:
    """Places of the kept requests, and their weights, as the store makes them."""
    priority = rng.random(len(sizes)) / sizes
    order = np.argpartition(priority, kept)[: kept + 1]
    order = order[np.argsort(priority[order])]
    weights = 1 / np.minimum(1.0, sizes[order[:-1]] * priority[order[-1]])
    if (sizes == sizes[0]).all():
        weights = np.full(kept, len(sizes) / kept)
    return order[:-1], weights


def items_of(
    scorer: str, rng: np.random.Generator, p: FloatArray = P, start: datetime = NOON, kept: int = KEPT
) -> list[WeightedEstimate]:
    chosen, weights = sampled(SIZES[scorer], rng, kept)
    return [
        replace(
            weighted_estimate(
                float(p[i]), stderr=0.0, weight=float(w), population=REQUESTS, window_start=start
            ),
            calibrated=scorer == "alike",
        )
        for i, w in zip(chosen, weights, strict=True)
    ]


def rate_of(items: Sequence[WeightedEstimate], rng: np.random.Generator, draws: int = 400) -> HarmRate:
    return harm_rate(HarmSample.of(items), draws=draws, rng=rng)


@pytest.mark.parametrize("scorer", ["good", "wrong"])
def test_the_mean_is_unbiased_and_its_spread_is_what_is_claimed(scorer: str) -> None:
    rng = np.random.default_rng(1)
    rates = [rate_of(items_of(scorer, rng), rng) for _ in range(800)]
    means = np.array([rate.mean for rate in rates])
    assert abs(means.mean() - P.mean()) < 3.5 * means.std() / np.sqrt(len(means))
    claimed = np.mean([rate.draws.var() for rate in rates])
    linearised = np.mean([rate.prompts_variance for rate in rates])
    # Tomorrow's prompts are new ones, so a finite population's own spread is added to that of the sample.
    true = means.var() + P.var() / REQUESTS
    assert claimed == pytest.approx(true, rel=0.25)
    assert linearised == pytest.approx(true, rel=0.25)


def test_a_good_scorer_makes_the_mean_sharper_and_a_wrong_one_less_so() -> None:
    rng = np.random.default_rng(2)
    variance = {
        scorer: np.var([rate_of(items_of(scorer, rng), rng, 1).mean for _ in range(400)]) for scorer in SIZES
    }
    assert variance["good"] < variance["alike"] / 3
    assert variance["wrong"] > variance["alike"]


def test_the_requests_behind_a_sample_are_counted_and_not_summed_from_weights() -> None:
    rng = np.random.default_rng(3)
    by_risk = items_of("good", rng)
    alike = items_of("alike", rng, start=NOON + timedelta(hours=1))
    sample = HarmSample.of([*by_risk, *alike])
    assert sample.requests == pytest.approx(2 * REQUESTS)
    assert sample.weights.sum() != pytest.approx(2 * REQUESTS, rel=1e-3)
    assert HarmSample.of(alike).share.sum() == pytest.approx(1.0)
    assert rate_of([*by_risk, *alike], rng).mean == pytest.approx(
        (rate_of(by_risk, rng).mean + rate_of(alike, rng).mean) / 2
    )


def test_variance_takes_the_mean_out_only_where_weights_add_up() -> None:
    p, share = np.array([0.1, 0.3]), np.array([0.5, 0.5])
    assert hajek_variance(p, share) == pytest.approx(2 * 2 * 0.25 * 0.1**2)
    assert hajek_variance(p, share, np.array([False, False])) == pytest.approx(2 * 0.25 * (0.01 + 0.09))


def test_without_hits_unequal_parts_of_the_traffic_bound_less() -> None:
    alike = [weighted_estimate(0.0, weight=100, population=1000, target_draws=50) for _ in range(10)]
    by_risk = [
        replace(weighted_estimate(0.0, weight=w, population=1000, target_draws=50), calibrated=False)
        for w in (910.0, *[10.0] * 9)
    ]
    rng = np.random.default_rng(4)
    uppers = []
    for items in (alike, by_risk):
        rate = rate_of(items, rng, 4000)
        uppers.append(float(np.quantile(rate.cautious(rng.exponential(size=4000)), 0.95)))
    assert uppers[0] == pytest.approx(3.0 / 500, rel=0.1)
    # Nearly all of the traffic is behind one prompt with its fifty draws.
    assert uppers[1] == pytest.approx(3.0 / 50, rel=0.25)


def test_the_upper_limit_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = []
    for _ in range(300):
        rate = rate_of(items_of("good", rng), rng, 600)
        held.append(np.quantile(rate.cautious(rng.exponential(size=600)), 0.95) >= P.mean())
    assert np.mean(held) >= 0.93


def test_the_worst_query_is_read_from_the_traffic_and_not_from_the_sample() -> None:
    rng = np.random.default_rng(6)
    answers = {}
    for scorer in ("alike", "good"):
        found = []
        for _ in range(60):
            items = items_of(scorer, rng, P / 50, kept=400)
            sample = HarmSample.of(items)
            found.append(worst_query_probability(sample.p, sample.weights, 100 * REQUESTS))
        answers[scorer] = np.median([value for value in found if value is not None])
    assert answers["good"] == pytest.approx(answers["alike"], rel=0.6)
    unweighted = [
        worst_query_probability(P[sampled(SIZES["good"], rng, 400)[0]] / 50, np.ones(400), 100 * REQUESTS)
        for _ in range(60)
    ]
    assert np.median([value for value in unweighted if value is not None]) > 1.5 * answers["good"]


def test_retry_risk_is_that_of_the_traffic() -> None:
    rng, values = np.random.default_rng(7), []
    for _ in range(400):
        sample = HarmSample.of(items_of("good", rng))
        risk = retry_risk(
            sample.p,
            sample.weights,
            20,
            requests=sample.requests,
            calibrated=sample.calibrated,
            stderr=sample.stderr,
            uncovered=sample.uncovered,
            target_draws=5000,
            draws=10,
            rng=rng,
        )
        values.append(risk.value)
    truth = float((1 - (1 - P) ** 20).mean())
    assert abs(np.mean(values) - truth) < 3.5 * np.std(values) / np.sqrt(len(values))


def two_days(today: str, factor: float, rng: np.random.Generator) -> list[WeightedEstimate]:
    """Yesterday sampled alike, today by `today`; p times `factor` since six hours."""
    items = []
    for hour in range(48):
        start = NOON - timedelta(hours=48 - hour)
        p = P * factor if hour >= 42 else P
        items += items_of("alike" if hour < 24 else today, rng, np.minimum(p, 1.0), start, kept=60)
    return items


def test_switching_a_scorer_on_is_no_move_of_p() -> None:
    rng = np.random.default_rng(8)
    for _ in range(15):
        items = two_days("good", 1.0, rng)
        assert moves(items, NOON) == {}
    # As if all prompts stood for as much, their ranks alone would say that most are riskier than a day before.
    naive = [replace(item, weight=1.0, calibrated=True) for item in items]
    assert moves(naive, NOON)


def test_a_move_of_p_is_seen_through_a_scorer() -> None:
    rng = np.random.default_rng(9)
    found = [moves(two_days("good", 6.0, rng), NOON) for _ in range(5)]
    moments = [one["misuse"][Stratum()] for one in found if one]
    assert len(moments) >= 4
    assert all(abs(moment - (NOON - timedelta(hours=6))) <= timedelta(hours=4) for moment in moments)
    assert min(moments) > NOON - DAY


def test_contributors_are_ranked_by_what_they_stand_for() -> None:
    light = replace(weighted_estimate(0.5, weight=1.0, hits=9), calibrated=False)
    heavy = replace(weighted_estimate(0.1, weight=90.0, hits=9), calibrated=False)
    light = replace(light, estimate=replace(light.estimate, stderr=0.1))
    heavy = replace(heavy, estimate=replace(light.estimate, p=0.1, prompt_id="heavy"))
    assert top_contributors([light, heavy], 1)[0].prompt_id == "heavy"


def test_judged_responses_count_by_weight() -> None:
    """Responses to risky prompts are judged often; their share among the judged is not that of the traffic."""
    rng, found = np.random.default_rng(10), []
    flagged = rng.random(REQUESTS) < np.minimum(P * 60, 0.6)
    for _ in range(300):
        chosen, weights = sampled(SIZES["good"], rng)
        counted = effective_counts(flagged[chosen], weights, REQUESTS)
        [count] = count_strata([JudgedWindow(NOON, "misuse", Stratum(), REQUESTS, *counted)]).values()
        found.append((count.flagged_in_all, flagged[chosen].mean() * REQUESTS))
    in_all, plain = np.mean(found, axis=0)
    assert in_all == pytest.approx(flagged.sum(), rel=0.1)
    assert plain > 2 * flagged.sum()
