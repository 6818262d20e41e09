import math

import numpy as np
import pytest
from support.estimates import made_draws

from riskmon.config import EstimateConfig
from riskmon.estimate.estimator import estimate_harm
from riskmon.estimate.weights import balance_weights
from riskmon.records import Flag, Prompt, Stratum, Verdicts

PROMPT = Prompt("p", "text", Stratum((("route", "chat"),)))


def estimate(draws, scores, threshold=0.5, **config):
    return estimate_harm(
        PROMPT,
        "h",
        draws,
        balance_weights(draws),
        Verdicts(np.asarray(scores, float)),
        threshold,
        EstimateConfig(**config),
    )


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


def test_a_proposal_that_overshoots_moves_the_mean_weight():
    # Both proposals say these sequences are twice as likely as the target does: the draws cannot be the mixture's.
    n = 200
    p = -5.0 + 0.01 * np.arange(n)
    draws = made_draws(p, [p - np.log(2), p - np.log(2)], [0] * 100 + [1] * 100)
    result = estimate(draws, np.zeros(n))
    assert result.weight_mean == pytest.approx(2)


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


def test_unreadable_verdicts_are_harmless_below_and_harmful_above():
    draws = mixture(50, 50, 0.5)
    scores = np.zeros(100)
    scores[:20] = np.nan
    result = estimate(draws, scores)
    assert result.p == 0
    assert result.unreadable == 20
    assert Flag.UNREADABLE in result.flags
    assert result.upper_bound > estimate(draws, np.zeros(100)).upper_bound + 0.1
