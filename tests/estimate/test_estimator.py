import math

import numpy as np
import pytest
from support.estimates import made_draws, reading_of, stage_of, target_stage
from support.judge_errors import judge_error

from riskmon.config import EstimateConfig
from riskmon.estimate.estimator import estimate_harm
from riskmon.estimate.evidence import Reading
from riskmon.estimate.intervals import guaranteed_upper
from riskmon.estimate.weights import balance_weights
from riskmon.records import Flag, Prompt, Stratum, Verdicts
from riskmon.statistics import false_alarm_floor, harm_upper

PROMPT = Prompt("p", "text", Stratum((("route", "chat"),)))


def estimate(draws, scores, threshold=0.5, error=None, slope=0.0, multiplicity=None, **config):
    reading = Reading.of(Verdicts(np.asarray(scores, float), multiplicity), threshold)
    return estimate_stages([stage_of(draws, slope=slope)], [reading], error, **config)


def estimate_stages(stages, readings, error=None, **config):
    return estimate_harm(PROMPT, "h", 0, stages, readings, EstimateConfig(**config), error)


def mixture(n_target, n_proposal, gain):
    """Draws whose proposal makes them e^gain times likelier than the target does."""
    n = n_target + n_proposal
    p = np.full(n, -5.0)
    return made_draws(p, [p, p + gain], [0] * n_target + [1] * n_proposal)


def test_the_estimate_is_the_mean_of_weight_times_harm():
    draws = mixture(10, 90, 3.0)
    scores = np.zeros(100)
    scores[[0, 50, 51]] = [0.5, 0.9, 0.49]
    weight = 1 / (0.1 + 0.9 * math.exp(3))
    result = estimate(draws, scores)
    assert result.hits == 2
    assert result.p == pytest.approx(2 * weight / 100)
    assert result.ess == pytest.approx(2)
    assert result.ci_low < result.p < result.ci_high
    assert result.p < result.upper_bound
    assert result.as_contract()["stratum"] == {"route": "chat"}


def test_the_threshold_cuts_at_and_above():
    draws = mixture(10, 90, 3.0)
    scores = np.linspace(0, 1, 100)
    assert estimate(draws, scores, 0.75).hits == (scores >= 0.75).sum()


def test_no_hit_gives_a_bound_and_never_zero_plus_minus_zero():
    result = estimate(mixture(50, 450, 2.0), np.zeros(500))
    assert result.p == 0
    assert result.stderr is None
    assert Flag.NO_HITS in result.flags
    assert result.ci_low == 0
    assert result.ci_high == result.upper_bound
    assert 3 / 50 < result.upper_bound < 3.7 / 50


# ---- stages


def test_a_pilot_counts_in_the_bound_and_in_no_mean():
    """Its hits move neither p nor hits nor the interval's centre, but the bound, the counts and the cost."""
    pilot, main = mixture(20, 80, 1.0), mixture(10, 90, 3.0)
    pilot_hits, main_hits = np.zeros(100), np.zeros(100)
    pilot_hits[:9] = main_hits[:2] = 1
    alone = estimate(main, main_hits)
    stages = [stage_of(pilot, counted=False), stage_of(main)]
    both = estimate_stages(stages, [reading_of(pilot_hits), reading_of(main_hits)])
    assert (both.p, both.stderr, both.hits, both.ess) == (alone.p, alone.stderr, alone.hits, alone.ess)
    assert both.weight_mean == alone.weight_mean
    assert both.n == 200
    assert both.target_draws == 30
    assert both.tokens == alone.tokens + pilot.forward_tokens
    assert both.device_seconds == 1.0
    weights = [balance_weights(draws).values for draws in (pilot, main)]
    expected = guaranteed_upper([(weights[0] * pilot_hits, 5.0), (weights[1] * main_hits, 10.0)])
    assert both.upper_bound == expected
    quiet = estimate_stages(stages, [reading_of(np.zeros(100)), reading_of(main_hits)])
    assert quiet.upper_bound < alone.upper_bound
    assert quiet.p == both.p


def test_counted_stages_are_one_row_of_draws_whose_proposals_are_apart():
    """Proposal 1 of the second stage is another one than proposal 1 of the first: strata of their own."""
    first, second = mixture(10, 40, 1.0), mixture(30, 120, 2.0)
    events = [np.arange(50) % 5 == 0, np.arange(150) % 3 == 0]
    both = estimate_stages([stage_of(first), stage_of(second)], [reading_of(own) for own in events])
    terms = np.concatenate(
        [balance_weights(d).values * h for d, h in zip((first, second), events, strict=True)]
    )
    assert both.p == pytest.approx(terms.mean())
    labels = np.concatenate([first.proposal, second.proposal + 2])
    variance = sum((labels == k).sum() * terms[labels == k].var(ddof=1) for k in range(4))
    assert both.stderr == pytest.approx(np.sqrt(variance) / 200)


def test_a_pilot_that_counted_and_decided_about_more_draws_would_be_biased_low():
    """Why a pilot does not count: a prompt gets 360 further draws only if its pilot of 40 saw harm.

    The same chance, estimated in both ways.
    """
    rng = np.random.default_rng(4)
    p, runs = 0.02, 500
    counted, apart = [], []
    for _ in range(runs):
        pilot, main = rng.random((2, 40)) < p
        events = [pilot, main, *([rng.random(360) < p] if pilot.any() else [])]
        readings = [reading_of(own) for own in events]
        later = [target_stage(len(own)) for own in events[1:]]
        counted.append(estimate_stages([target_stage(40), *later], readings).p)
        apart.append(estimate_stages([target_stage(40, counted=False), *later], readings).p)
    for values, biased in ((counted, True), (apart, False)):
        z = (np.mean(values) - p) / (np.std(values, ddof=1) / np.sqrt(runs))
        assert z < -4 if biased else abs(z) < 3


# ---- the control variate


def test_the_control_variate_takes_its_slope_off_each_draw():
    draws = mixture(50, 50, 1.0)
    q = np.where(np.arange(100) % 2, 0.7, -1.5)
    draws = made_draws(draws.log_target, [draws.log_target, draws.log_target + q], draws.proposal)
    scores = np.arange(100) % 4 < 2
    weights = balance_weights(draws).values
    result = estimate(draws, scores, slope=0.4)
    values = weights * scores - 0.4 * (weights - 1)
    assert abs(weights.mean() - 1) > 0.01
    assert result.p == pytest.approx(values.mean())
    plain = estimate(draws, scores)
    assert plain.p == pytest.approx((weights * scores).mean())
    assert (result.hits, result.ess, result.upper_bound) == (plain.hits, plain.ess, plain.upper_bound)


def test_a_correction_that_leaves_nothing_is_dropped():
    draws = mixture(50, 50, -3.0)  # every weight is 1.9
    scores = np.zeros(100)
    scores[:2] = 1
    weights = balance_weights(draws).values
    assert (weights * scores - 0.5 * (weights - 1)).mean() < 0
    assert estimate(draws, scores, slope=0.5).p == pytest.approx((weights * scores).mean())


# ---- flags


def test_a_harmful_draw_only_the_target_reaches_is_a_coverage_gap():
    n = 100
    p = np.full(n, -5.0)
    q = np.where(
        np.arange(n) == 3, -40.0, -4.0
    )  # the fourth draw, of the target, is out of the proposal's reach
    draws = made_draws(p, [p, q], [0] * 10 + [1] * 90)
    harmful = np.zeros(n)
    harmful[3] = 1
    missed = estimate(draws, harmful)
    assert Flag.COVERAGE_GAP in missed.flags
    assert missed.gap_hits == 1
    covered = estimate(draws, np.roll(harmful, 1))
    assert covered.hits == 1
    assert Flag.COVERAGE_GAP not in covered.flags


def test_a_gap_that_only_the_pilot_saw_is_flagged():
    p = np.full(100, -5.0)
    draws = made_draws(p, [p, np.where(np.arange(100) == 3, -40.0, -4.0)], [0] * 10 + [1] * 90)
    harmful = np.arange(100) == 3
    readings = [reading_of(harmful), reading_of(np.zeros(100))]
    result = estimate_stages([stage_of(draws, counted=False), stage_of(draws)], readings)
    assert {Flag.COVERAGE_GAP, Flag.NO_HITS} <= set(result.flags)
    assert result.gap_hits == 1


def test_a_proposal_that_overshoots_moves_the_mean_weight():
    # Both proposals say these sequences are twice as likely as the target does: the draws cannot be the mixture's.
    n = 200
    p = -5.0 + 0.01 * np.arange(n)
    draws = made_draws(p, [p - np.log(2), p - np.log(2)], [0] * 100 + [1] * 100)
    result = estimate(draws, np.zeros(n))
    assert result.weight_mean == pytest.approx(2)


def test_a_mean_weight_far_from_one_is_flagged():
    gains = 0.1 * np.random.default_rng(0).normal(size=400)
    p = np.full(400, -5.0)
    for shift, flagged in ((0.0, False), (-0.5, True)):
        draws = made_draws(p, [p, p + gains + shift], [0] * 200 + [1] * 200)
        result = estimate(draws, np.ones(400))
        assert result.weight_z is not None
        assert (abs(result.weight_z) > 4) == flagged
        assert (Flag.WEIGHT_MEAN_OFF in result.flags) == flagged


def test_flags_of_the_draws_themselves():
    draws = mixture(10, 90, 1.0)
    assert Flag.TRUNCATED not in estimate(draws, np.zeros(100)).flags
    cut = made_draws(draws.log_target, draws.log_proposals, draws.proposal, ended=False)
    assert Flag.TRUNCATED in estimate(cut, np.zeros(100)).flags


def test_heavy_tails_are_flagged():
    rng = np.random.default_rng(0)
    n = 4000
    p = np.full(n, -20.0)
    q = p - np.log(1e-5 * (1 + rng.pareto(0.8, n)))  # weights with a tail of index 1/0.8
    draws = made_draws(p, [p, q], [0] * 4 + [1] * (n - 4))
    result = estimate(draws, np.ones(n))
    assert result.khat is not None
    assert result.khat > 0.7
    assert Flag.HEAVY_WEIGHTS in result.flags


@pytest.mark.parametrize(("hits", "heavy", "flagged"), [(12, 2, True), (9, 2, False), (12, 7, False)])
def test_many_hits_that_weigh_as_little_as_a_few_are_flagged(hits, heavy, flagged):
    """Too few for a tail index; a handful of draws carries the estimate."""
    p = np.full(400, -9.0)
    gain = np.full(400, 9.0)
    gain[40 : 40 + heavy] = 2.0  # e^7 times as heavy as the other hits
    draws = made_draws(p, [p, p + gain], [0] * 40 + [1] * 360)
    scores = np.zeros(400)
    scores[40 : 40 + hits] = 1
    result = estimate(draws, scores)
    assert result.khat is None
    assert result.hits == hits
    assert result.ess == pytest.approx(heavy, rel=0.1)
    assert (Flag.HEAVY_WEIGHTS in result.flags) == flagged


# ---- what the judge does not know


def test_unreadable_verdicts_are_harmless_below_and_harmful_above():
    draws = mixture(50, 50, 0.5)
    scores = np.zeros(100)
    scores[:20] = np.nan
    result = estimate(draws, scores)
    assert result.p == 0
    assert result.unreadable == 20
    assert Flag.UNREADABLE in result.flags
    assert result.upper_bound > estimate(draws, np.zeros(100)).upper_bound + 0.1
    assert result.upper_bound == estimate(draws, np.isnan(scores)).upper_bound


def test_unreadable_verdicts_of_the_pilot_are_counted_too():
    draws = mixture(50, 50, 0.5)
    scores = np.zeros(100)
    scores[:20] = np.nan
    stages = [stage_of(draws, counted=False), stage_of(draws)]
    result = estimate_stages(stages, [reading_of(scores), reading_of(np.zeros(100))])
    assert (result.p, result.unreadable) == (0, 20)
    assert Flag.UNREADABLE in result.flags


def test_a_verdict_that_stands_for_several_draws_counts_so_often():
    """One in four of the rest was read: in p it weighs four, and in the bound it may weigh four times the cap."""
    draws = mixture(25, 75, 1.0)
    multiplicity = np.where(np.arange(100) % 4 == 0, 4.0, 0.0)
    multiplicity[:5] = 1.0
    scores = np.zeros(100)
    scores[[1, 8, 9]] = 1  # draw 9 was not read: it is no hit
    weights = balance_weights(draws).values
    result = estimate(draws, scores, multiplicity=multiplicity)
    assert result.hits == 2
    assert result.p == pytest.approx((weights[1] + 4 * weights[8]) / 100)
    terms = np.zeros(100)
    terms[[1, 8]] = weights[1], 4 * weights[8]
    assert result.upper_bound == guaranteed_upper([(terms, 4 * 4.0)])


def test_an_estimate_that_false_alarms_could_make_is_a_bound_and_no_number():
    draws = mixture(20, 180, 2.0)
    scores = np.zeros(200)
    scores[30:36] = 1
    plain = estimate(draws, scores)
    assert Flag.BELOW_JUDGE_FLOOR not in plain.flags
    sharp, blunt = judge_error(90, 10, 1e6, 0), judge_error(90, 10, 970, 30)
    assert false_alarm_floor(sharp) < plain.ci_low
    assert plain.p < false_alarm_floor(blunt)
    assert estimate(draws, scores, error=sharp) == plain
    floored = estimate(draws, scores, error=blunt)
    assert Flag.BELOW_JUDGE_FLOOR in floored.flags
    assert floored.p == plain.p  # the forecast corrects it
    assert floored.upper_bound == harm_upper(plain.upper_bound, blunt)
    assert floored.as_contract()["p"] is None


# ---- intervals and bounds together


@pytest.mark.parametrize("gain", [0.5, 3.0])
@pytest.mark.parametrize("hits", [1, 2, 5, 40, 90])
def test_no_limit_contradicts_another(gain, hits):
    scores = np.zeros(100)
    scores[100 - hits :] = 1
    result = estimate(mixture(10, 90, gain), scores)
    rounding = 1 + 1e-12
    assert 0 <= result.ci_low <= result.p * rounding
    assert result.p <= result.ci_high * rounding
    assert result.p <= result.upper_bound <= 1
    assert result.ci_high <= 1


def test_the_working_interval_is_cut_at_a_guaranteed_bound_of_its_own_level():
    """One heavy hit of many draws: what is not assumed says more than what is."""
    p = np.full(1000, -5.0)
    draws = made_draws(p, [p, p + 0.1], [0] * 900 + [1] * 100)
    scores = np.zeros(1000)
    scores[:3] = 1
    result = estimate(draws, scores)
    terms = balance_weights(draws).values * scores
    cap = guaranteed_upper([(terms, 1000 / 900)], alpha=0.025)
    assert result.upper_bound < cap
    assert result.ci_high == cap
