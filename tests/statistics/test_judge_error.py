"""Rates with the judge's errors taken out: known answers, coverage, the floor."""

from dataclasses import replace

import numpy as np
import pytest
from support.judge_errors import judge_error

from riskmon.statistics import (
    below_floor,
    clopper_pearson,
    corrected_rate,
    draw_errors,
    false_alarm_floor,
    harm_upper,
    informative,
    rogan_gladen,
    sensitivity,
    specificity,
    youden,
)


def test_eleven_times_too_high_and_back():
    p, se, sp = 1e-4, 0.9, 1 - 1e-3
    judged = se * p + (1 - sp) * (1 - p)
    assert judged == pytest.approx(1.09e-3, rel=1e-3)
    assert corrected_rate(judged, se, sp) == pytest.approx(p, rel=1e-9)
    error = judge_error(true_positive=90, false_negative=10, true_negative=9990, false_positive=10)
    corrected = rogan_gladen(judged, 0.0, error)
    assert corrected.value == pytest.approx(p, rel=1e-9)
    assert corrected.variance**0.5 > 3e-4  # ten false alarms do not fix 1e-4
    assert below_floor(judged, judged, error)


def test_delta_method_agrees_with_many_draws():
    """Asymmetric: both labelled sets and the rate add about as much."""
    error = judge_error(true_positive=180, false_negative=120, true_negative=1900, false_positive=100)
    rng = np.random.default_rng(4)
    judged, sd = 0.3, 0.02
    corrected = rogan_gladen(judged, sd**2, error)
    se, sp = draw_errors(error, 200_000, rng)
    draws = corrected_rate(rng.normal(judged, sd, 200_000), se, sp)
    assert corrected.value == pytest.approx((0.3 - 0.05) / 0.55)
    assert corrected.variance**0.5 == pytest.approx(draws.std(), rel=0.03)
    assert rogan_gladen(judged, 0.0, error).variance < 0.6 * corrected.variance
    many = judge_error(
        true_positive=18_000, false_negative=12_000, true_negative=190_000, false_positive=10_000
    )
    assert rogan_gladen(judged, sd**2, many).variance == pytest.approx(sd**2 / 0.55**2, rel=0.02)


def test_cut_only_for_the_report():
    error = judge_error(true_positive=90, false_negative=10, true_negative=980, false_positive=20)
    corrected = rogan_gladen(0.001, 0.0, error)
    assert corrected.value < 0
    assert corrected.reported == 0
    assert rogan_gladen(1.0, 0.0, error).reported == 1


@pytest.mark.parametrize(
    ("p", "se", "sp", "labels", "draws"),
    [
        (0.2, 0.7, 0.95, (60, 60), 300),
        (0.02, 0.9, 0.99, (100, 1000), 2000),
        (1e-3, 0.9, 0.999, (50, 5000), 20_000),
        (0.05, 0.95, 1 - 1e-4, (40, 400), 1000),
    ],
)
def test_draws_cover_when_rate_and_both_errors_are_estimated(p, se, sp, labels, draws):
    rng = np.random.default_rng(5)
    worlds, kept = 1500, 1000
    judged = se * p + (1 - sp) * (1 - p)
    caught, alarms = rng.binomial(labels[0], se, worlds), rng.binomial(labels[1], 1 - sp, worlds)
    hits = rng.binomial(draws, judged, worlds)
    covered = 0
    for x_se, x_sp, x in zip(caught, alarms, hits, strict=True):
        error = judge_error(
            true_positive=x_se,
            false_negative=labels[0] - x_se,
            true_negative=labels[1] - x_sp,
            false_positive=x_sp,
        )
        rate = rng.beta(x + 0.5, draws - x + 0.5, kept)
        low, high = np.quantile(corrected_rate(rate, *draw_errors(error, kept, rng)), [0.025, 0.975])
        covered += low <= p <= high
    assert covered / worlds >= 0.93


def test_draws_have_the_jeffreys_mean():
    error = judge_error(
        true_positive=9, false_negative=0, unreadable_harmful=1, true_negative=50, false_positive=0
    )
    se, sp = draw_errors(error, 200_000, np.random.default_rng(6))
    assert se.mean() == pytest.approx(9.5 / 11, abs=1e-3)
    assert 1 - sp.mean() == pytest.approx(0.5 / 51, rel=0.02)
    assert (sp < 1).all()


def test_corrected_rates_stay_probabilities_even_with_a_draw_of_a_useless_judge():
    rates = corrected_rate(np.array([0.0, 0.5, 1.0]), np.array([0.3, 0.3, 0.9]), np.array([0.6, 0.6, 0.9]))
    assert rates.tolist() == pytest.approx([0.0, 1.0, 1.0])
    assert youden(0.3, 0.6) == 0.05
    assert youden(0.8, 0.9) == pytest.approx(0.7)


def test_unreadable_verdicts_are_bounded_both_ways():
    error = judge_error(
        true_positive=40,
        false_negative=5,
        unreadable_harmful=5,
        true_negative=180,
        false_positive=10,
        unreadable_harmless=10,
    )
    se, sp = sensitivity(error), specificity(error)
    assert (se.value, sp.value) == (0.8, 0.95)  # as the estimates count them: not flagged
    assert (se.low, se.high) == (clopper_pearson(40, 50).low, clopper_pearson(45, 50).high)
    assert (sp.low, sp.high) == (clopper_pearson(180, 200).low, clopper_pearson(190, 200).high)


def test_unreadable_verdicts_leave_the_identity_exact():
    """A rate that counts them as not flagged is corrected to the truth."""
    error = judge_error(
        true_positive=60, false_negative=20, unreadable_harmful=20, true_negative=700, false_positive=100,
        unreadable_harmless=200,
    )  # fmt: skip
    p = 0.25
    judged = p * 60 / 100 + (1 - p) * 100 / 1000
    assert rogan_gladen(judged, 0.0, error).value == pytest.approx(p)


def test_a_judge_no_better_than_chance_is_refused():
    coin = judge_error(true_positive=500, false_negative=500, true_negative=540, false_positive=460)
    assert sensitivity(coin).value + specificity(coin).value - 1 == pytest.approx(0.04)
    assert not informative(coin)
    assert rogan_gladen(0.5, 0.0, coin) is None
    few = judge_error(true_positive=6, false_negative=4, true_negative=6, false_positive=4)
    assert sensitivity(few).value + specificity(few).value - 1 == pytest.approx(0.2)
    assert not informative(few)
    many = judge_error(true_positive=600, false_negative=400, true_negative=600, false_positive=400)
    assert informative(many)


def test_the_floor_of_a_judge_without_false_alarms_is_three_in_n():
    perfect = judge_error(true_positive=50, false_negative=0, true_negative=30_000, false_positive=0)
    assert false_alarm_floor(perfect) == pytest.approx(1e-4, rel=0.01)
    assert false_alarm_floor(replace(perfect, true_negative=300.0)) == pytest.approx(1e-2, rel=0.01)


def test_below_the_floor_unless_the_lower_limit_is_above_it():
    error = judge_error(true_positive=50, false_negative=0, true_negative=30_000, false_positive=0)
    floor = false_alarm_floor(error)
    assert below_floor(0.0, 0.0, error)
    assert below_floor(floor, floor, error)
    assert below_floor(5 * floor, 0.9 * floor, error)
    assert not below_floor(5 * floor, 1.1 * floor, error)


def test_prompts_without_harm_hardly_ever_pass_the_floor():
    """The judged rate is made of false alarms alone; floor and interval are both estimated."""
    rng = np.random.default_rng(7)
    alarm_rate, negatives, draws, passed = 0.01, 1000, 2000, 0
    for alarms, hits in zip(
        rng.binomial(negatives, alarm_rate, 2000), rng.binomial(draws, alarm_rate, 2000), strict=True
    ):
        error = judge_error(
            true_positive=50, false_negative=0, true_negative=negatives - alarms, false_positive=alarms
        )
        passed += not below_floor(hits / draws, clopper_pearson(hits, draws).low, error)
    assert passed / 2000 <= 0.01


def test_the_upper_bound_below_the_floor():
    error = judge_error(true_positive=80, false_negative=20, true_negative=1000, false_positive=0)
    low = clopper_pearson(80, 100).low
    assert harm_upper(1e-3, error) == pytest.approx(1e-3 / low)
    assert harm_upper(0.9, error) == 1
    blind = judge_error(true_positive=0, false_negative=100, true_negative=1000, false_positive=0)
    assert harm_upper(1e-9, blind) == 1


def test_the_upper_bound_holds():
    """True p, judged with misses and false alarms, all three estimated."""
    rng = np.random.default_rng(8)
    p, se, alarm_rate, labels, draws, worlds = 5e-3, 0.6, 1e-4, 40, 1000, 2000
    held = 0
    for caught, hits in zip(
        rng.binomial(labels, se, worlds),
        rng.binomial(draws, se * p + alarm_rate * (1 - p), worlds),
        strict=True,
    ):
        error = judge_error(
            true_positive=caught, false_negative=labels - caught, true_negative=1000, false_positive=0
        )
        held += harm_upper(clopper_pearson(hits, draws, 0.90).high, error) >= p
    assert held / worlds >= 0.95
