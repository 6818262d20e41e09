"""The control variate, on a world of eleven answers and on a tiny model."""

import numpy as np
import pytest
from support.estimates import made_draws, world_config
from support.worlds import PROMPT

from riskmon.estimate.control import control_slope
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import Proposal
from riskmon.estimate.weights import balance_weights
from riskmon.records import Prompt

PLAN = (Proposal(0, 0, 1), Proposal(1, 0, 1))
P = np.linspace(1.0, 3.0, 11) / np.linspace(1.0, 3.0, 11).sum()
Q = P[::-1]  # the variant prefers what the target does not
# The harm goes with the weight: what the target says often, and the variant seldom.
COMMON = np.arange(11) >= 7


def draws_of(counts, rng):
    """One token each from the world's target and variant."""
    tokens = np.concatenate([rng.choice(11, size=n, p=own) for n, own in zip(counts, (P, Q), strict=True)])
    return tokens, made_draws(np.log(P[tokens]), np.log([P[tokens], Q[tokens]]), np.repeat([0, 1], counts))


def test_a_common_harm_that_follows_the_weight_gets_the_least_squares_slope():
    """Drawn from the very mixture it is for, the slope is the regression of w h on w."""
    counts = np.array([50, 450])
    tokens, pilot = draws_of(counts, np.random.default_rng(0))
    weights = balance_weights(pilot).values
    slope = control_slope(pilot, COMMON[tokens] * 1.0, PLAN, counts)
    assert slope == pytest.approx(np.polyfit(weights, weights * COMMON[tokens], 1)[0])
    assert slope > 0.5


def test_the_pilot_is_reweighted_to_the_mixture_to_come():
    """The slope is for the later stage: a pilot half of the target finds that of a stage of one tenth."""
    rng = np.random.default_rng(1)
    later = np.array([50, 450])
    slopes = []
    for counts in (later, np.array([20_000, 20_000])):
        tokens, pilot = draws_of(np.array(counts) * 40_000 // np.sum(counts), rng)
        slopes.append(control_slope(pilot, COMMON[tokens] * 1.0, PLAN, later))
    same = control_slope(pilot, COMMON[tokens] * 1.0, PLAN, np.array([1, 1]))
    assert slopes[0] == pytest.approx(slopes[1], rel=0.02)
    assert same != pytest.approx(slopes[0], rel=0.05)


def test_it_lowers_the_variance_and_leaves_the_mean():
    rng = np.random.default_rng(2)
    truth = P[COMMON].sum()
    assert 0.3 < truth < 0.6
    pilot_counts, counts = np.array([30, 70]), np.array([40, 360])
    plain, corrected = [], []
    for _ in range(600):
        tokens, pilot = draws_of(pilot_counts, rng)
        slope = control_slope(pilot, COMMON[tokens] * 1.0, PLAN, counts)
        tokens, main = draws_of(counts, rng)
        weights = balance_weights(main).values
        terms = weights * COMMON[tokens]
        plain.append(terms.mean())
        corrected.append((terms - slope * (weights - 1)).mean())
    assert np.var(corrected) < 0.6 * np.var(plain)
    assert abs(np.mean(corrected) - truth) < 3 * np.std(corrected) / np.sqrt(600)


def test_a_rare_harm_gets_none():
    """Nine hits are too few to tell, and a harm that does not follow the weight gains nothing."""
    counts = np.array([50, 450])
    tokens, pilot = draws_of(counts, np.random.default_rng(3))
    few = np.zeros(500)
    few[np.flatnonzero(COMMON[tokens])[:9]] = 1
    assert control_slope(pilot, few, PLAN, counts) == 0
    assert control_slope(pilot, np.zeros(500), PLAN, counts) == 0
    even = np.zeros(500)
    even[::20] = 1
    assert control_slope(pilot, even, PLAN, counts) == 0


def test_the_target_alone_has_no_weights_to_control():
    tokens, pilot = draws_of(np.array([500, 0]), np.random.default_rng(4))
    assert control_slope(pilot, COMMON[tokens] * 1.0, PLAN[:1], np.array([500])) == 0


def test_a_pilot_without_the_new_voice_s_log_probs_gives_none():
    counts = np.array([50, 450])
    tokens, pilot = draws_of(counts, np.random.default_rng(5))
    pilot.token_log_probs[1, 7] = np.nan
    assert control_slope(pilot, COMMON[tokens] * 1.0, PLAN, counts) == 0


def test_a_pilot_draw_that_no_later_proposal_can_make_counts_for_nothing():
    """Outside the target's support, by a variant that the later mixture has dropped: its share of q' is 0."""
    counts = np.array([100, 400, 200])
    rng = np.random.default_rng(6)
    tokens = np.concatenate([rng.choice(11, size=n, p=own) for n, own in zip(counts, (P, Q, Q), strict=True)])
    stray = np.arange(700) >= 690
    log_p, log_q = (np.where(stray, -np.inf, np.log(own[tokens])) for own in (P, Q))
    pilot = made_draws(log_p, [log_p, log_q, np.log(Q[tokens])], np.repeat([0, 1, 2], counts))
    events = COMMON[tokens] * 1.0
    slope = control_slope(pilot, events, PLAN, np.array([50, 450]))
    assert np.isfinite(slope)
    within = made_draws(
        *(np.log(own[tokens[:690]]) for own in (P,)),
        np.log([P[tokens[:690]], Q[tokens[:690]], Q[tokens[:690]]]),
        np.repeat([0, 1, 2], [100, 400, 190]),
    )
    assert slope == pytest.approx(control_slope(within, events[:690], PLAN, np.array([50, 450])), rel=0.02)


def test_on_a_model_a_common_harm_is_controlled_and_a_rare_one_is_not(world):
    """`red` occurs in half of the answers, "bad worse" in one of ten thousand."""
    expert = {"name": "unsafe", "kind": "checkpoint", "path": str(world.experts["unsafe"]), "ladder": [0.5]}
    session = open_session(world_config(world.target, [expert]))
    proposals = session.planner.mixture(Prompt("p", PROMPT).stratum).proposals
    truth, runs = world.truth((4,)), 70
    assert 0.3 < truth < 0.6
    assert world.truth((6, 7)) < 1e-3
    slopes, plain, corrected, rare_hits = [], [], [], 0
    for i in range(runs):
        pilot = session.draw(Prompt(f"pilot-{i}", PROMPT), 160)
        main = session.draw(Prompt(f"main-{i}", PROMPT), 240)
        rare = np.array(["bad worse" in text for text in session.texts(pilot)]) * 1.0
        rare_hits += int(rare.sum())
        assert control_slope(pilot, rare, proposals, main.counts) == 0
        red = np.array(["red" in text for text in session.texts(pilot)]) * 1.0
        slopes.append(control_slope(pilot, red, proposals, main.counts))
        weights = balance_weights(main).values
        terms = weights * ["red" in text for text in session.texts(main)]
        plain.append(terms.mean())
        corrected.append((terms - slopes[-1] * (weights - 1)).mean())
    assert rare_hits > 30
    assert np.mean(np.array(slopes) > 0) > 0.6
    assert np.var(corrected) < 0.95 * np.var(plain)
    assert abs(np.mean(corrected) - truth) < 3 * np.std(corrected) / np.sqrt(runs)
