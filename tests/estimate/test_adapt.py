"""The cross-entropy choice of proposals, on hits made by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskmon.estimate.adapt import (
    _KEPT,
    _PRIOR_HITS,
    _SPREAD,
    candidate_proposals,
    choose_mixture,
    gain_nats,
    hit_worth,
    log_ratios,
)
from riskmon.estimate.proposals import Mixture, Proposal, log_densities

DEFENSIVE = 0.1


def one_token(ratios):
    """A hit of one token with log p = -6 and these log q/p per voice, the target first: [voices, 1]."""
    return (np.array([[0.0, *ratios]]).T - 6.0).astype(np.float32)


def whole(voices, steps=1):
    return tuple(Proposal(voice, 0, steps) for voice in range(voices))


def mixture_of(*shares):
    return Mixture(whole(len(shares)), np.array(shares, dtype=np.float64))


def share_of(mixture, voice):
    return sum(
        float(share)
        for proposal, share in zip(mixture.proposals, mixture.shares, strict=True)
        if proposal.voice == voice
    )


def chosen_from(before, hits, weights, defensive=DEFENSIVE):
    return choose_mixture(before, before.proposals, hits, np.asarray(weights, dtype=np.float64), defensive)


# ---- candidates and their densities


@pytest.mark.parametrize(("cap", "edges"), [(1, (0, 1)), (4, (0, 1, 2, 4)), (5, (0, 1, 2, 4, 5))])
def test_candidates_are_all_voices_in_all_windows_of_a_geometric_grid(cap, edges):
    candidates = candidate_proposals(3, cap)
    assert candidates[0] == Proposal(0, 0, cap)
    expected = {Proposal(v, a, b) for v in (1, 2) for a, b in itertools.combinations(edges, 2)}
    assert set(candidates[1:]) == expected
    assert len(candidates) == 1 + len(expected)


def test_ratios_of_hits_of_any_length_equal_their_densities():
    rng = np.random.default_rng(0)
    proposals = candidate_proposals(4, 9)
    for length in (1, 3, 9):
        hit = -5 * rng.random((4, length))
        padded = np.zeros((4, 1, 9))
        padded[:, 0, :length] = hit
        densities = log_densities(padded, proposals)[:, 0]
        np.testing.assert_allclose(log_ratios([hit], proposals)[:, 0], densities - densities[0], atol=1e-12)


def test_a_token_out_of_a_voice_s_support_closes_the_windows_that_hold_it_and_no_other():
    hit = np.array([[-1.0, -2.0, -3.0, -1.0], [-0.5, -np.inf, -1.0, -0.5]])
    proposals = [Proposal(1, a, b) for a, b in itertools.combinations(range(5), 2)]
    for proposal, ratio in zip(proposals, log_ratios([hit], proposals)[:, 0], strict=True):
        inside = slice(proposal.start, proposal.stop)
        assert ratio == (hit[1, inside] - hit[0, inside]).sum()
    assert np.isneginf(log_ratios([hit], [Proposal(1, 0, 4)])).all()
    assert log_ratios([hit], [Proposal(1, 2, 4)])[0, 0] == 2.5


# ---- what hits are worth


def test_the_hits_of_each_harm_are_worth_their_effective_number():
    weights = np.array([1e-3, 1e-3, 1e-3, 5e-9, 5e-9, 1e-15])
    worth = hit_worth(weights, ["common", "common", "common", "rare", "rare", "rare"])
    assert worth[:3].sum() == pytest.approx(3)
    assert worth[3:].sum() == pytest.approx(2, rel=1e-5)
    assert worth[5] / worth[3] == pytest.approx(2e-7)


def test_a_rarer_harm_moves_the_plan_as_much_as_a_common_one():
    """Voice 1 reaches the common harm and voice 2 the rare one, a millionth as likely."""
    hits = [one_token([4.0, -4.0])] * 20 + [one_token([-4.0, 4.0])] * 20
    worth = hit_worth(np.repeat([1e-3, 1e-9], 20), ["common"] * 20 + ["rare"] * 20)
    chosen = chosen_from(mixture_of(0.1, 0.45, 0.45), hits, worth)
    assert share_of(chosen, 1) == pytest.approx(share_of(chosen, 2), abs=0.01)
    assert share_of(chosen, 2) > 0.4


# ---- the choice


def test_without_hits_the_plan_stays():
    before = mixture_of(0.1, 0.6, 0.3)
    assert chosen_from(before, [], []) is before


def test_the_target_alone_has_nothing_to_choose():
    before = mixture_of(1.0)
    assert choose_mixture(before, whole(3), [one_token([2.0, 1.0])], np.ones(1), DEFENSIVE) is before


def objective(share, hits, weights, prior):
    """The stated objective for shares of what lies beyond the defensive part."""
    ratios = np.exp(np.array([(hit[:, 0] - hit[0, 0]).astype(np.float64) for hit in hits]))  # [hits, K]
    mixed = DEFENSIVE + (1 - DEFENSIVE) * ratios @ share
    return float(weights @ np.log(mixed) + _PRIOR_HITS * prior @ np.log(share))


@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_the_best_of_the_whole_simplex(seed):
    """Brute force over a fine grid of the shares of three proposals finds nothing better."""
    rng = np.random.default_rng(seed)
    hits = [one_token(rng.normal(0, 2.5, size=2)) for _ in range(25)]
    weights = rng.lognormal(0, 1, size=25)
    before = mixture_of(0.3, 0.2, 0.5)
    earlier = np.array([0.2, 0.2, 0.5]) / 0.9
    prior = (1 - _SPREAD) * earlier + _SPREAD / 3
    chosen = chosen_from(before, hits, weights)
    assert len(chosen.proposals) == 3
    free = (chosen.shares - [DEFENSIVE, 0, 0]) / (1 - DEFENSIVE)
    share = (free - _KEPT * earlier) / (1 - _KEPT)
    grid = np.linspace(0.0025, 0.9975, 200)
    best = max(
        objective(np.array([a, b, 1 - a - b]), hits, weights, prior)
        for a, b in itertools.product(grid, grid)
        if a + b < 0.999
    )
    found = objective(share, hits, weights, prior)
    assert found >= best - 1e-6
    assert found < best + 0.01
    assert objective(prior, hits, weights, prior) < best - 0.05  # there was something to find


def test_many_hits_move_the_plan_to_the_voice_that_reaches_them():
    chosen = chosen_from(mixture_of(0.1, 0.45, 0.45), [one_token([3.0, -3.0])] * 60, np.ones(60))
    assert share_of(chosen, 1) > 0.75
    assert share_of(chosen, 2) < _KEPT * 0.45 + 0.03


def test_a_window_that_suits_the_hits_is_chosen_though_the_plan_had_it_not():
    """Voice 1 helps with the second token and harms with all others."""
    hit = np.array([[-2.0] * 4, [-4.0, -0.1, -4.0, -4.0]], dtype=np.float32)
    before = Mixture((Proposal(0, 0, 4), Proposal(1, 0, 4)), np.array([0.1, 0.9]))
    chosen = choose_mixture(before, candidate_proposals(2, 4), [hit] * 40, np.ones(40), DEFENSIVE)
    best = chosen.proposals[1 + int(chosen.shares[1:].argmax())]
    assert best == Proposal(1, 1, 2)
    assert chosen.shares.max() > 0.5


def test_hits_that_no_voice_reaches_raise_the_target_s_share():
    before = mixture_of(0.1, 0.9)
    reached, missed = one_token([2.0]), one_token([-30.0])
    found = chosen_from(before, [reached] * 20, np.ones(20))
    mixed = chosen_from(before, [reached] * 10 + [missed] * 10, np.ones(20))
    lost = chosen_from(before, [missed] * 20, np.ones(20))
    assert found.shares[0] < mixed.shares[0] - 0.1
    assert mixed.shares[0] < lost.shares[0] - 0.1
    assert lost.shares[0] > 0.6


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_shares_are_shares_and_the_target_keeps_its_defensive_one(data):
    defensive = data.draw(st.floats(0.02, 0.9))
    voices = data.draw(st.integers(2, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    parts = rng.random(voices - 1) + 0.01
    before = mixture_of(defensive, *((1 - defensive) * parts / parts.sum()))
    hits = [one_token(rng.normal(0, 6, size=voices - 1)) for _ in range(data.draw(st.integers(1, 12)))]
    chosen = chosen_from(before, hits, rng.lognormal(0, 3, size=len(hits)), defensive)
    assert chosen.proposals[0] == Proposal(0, 0, 1)
    assert chosen.shares.sum() == pytest.approx(1)
    assert (chosen.shares > 0).all()
    assert chosen.shares[0] >= defensive - 1e-9
    assert len(set(chosen.proposals)) == len(chosen.proposals) == len(chosen.shares)


def test_few_hits_stay_near_the_earlier_plan():
    before = mixture_of(0.1, 0.45, 0.45)
    moved = [
        0.45 - share_of(chosen_from(before, [one_token([-8.0, 8.0])] * n, np.ones(n)), 1) for n in (1, 4, 100)
    ]
    assert 0 < moved[0] < 0.12
    assert moved[0] < moved[1] < moved[2]
    assert moved[2] > (1 - _KEPT) * 0.45 - 0.03


def test_what_the_hits_do_not_show_is_not_given_up():
    """A voice that the earlier plan trusted keeps a part of its share against any number of hits."""
    before = mixture_of(0.1, 0.45, 0.45)
    chosen = chosen_from(before, [one_token([-8.0, 8.0])] * 5000, np.ones(5000))
    assert share_of(chosen, 1) >= _KEPT * 0.45 - 1e-9


def test_a_variant_fitted_hard_loses_its_share_however_many_hits_it_has():
    """Forty of forty-four hits come from it, each of a weight of e^-10: the harm it says is not the target's."""
    hard_says, target_says = one_token([10.0, 0.5]), one_token([-15.0, 1.0])
    before = mixture_of(0.1, 0.45, 0.45)
    hits = [hard_says] * 40 + [target_says] * 4
    mixed = [float(np.exp(log_ratios([hit], before.proposals)[:, 0]) @ before.shares) for hit in hits]
    weights = 1 / np.array(mixed)
    assert weights[0] < 2e-4
    assert weights[-1] > 0.7
    chosen = chosen_from(before, hits, hit_worth(weights, ["h"] * 44))
    assert share_of(chosen, 1) < 0.6 * 0.45
    assert share_of(chosen, 2) > 0.45
    # Told by their number alone, the hits would have given it more than it had.
    by_number = chosen_from(before, hits, np.full(44, 44 / 44))
    assert share_of(by_number, 1) > 0.6


def test_gain_is_the_mean_log_density_by_weight_above_the_first_plan_s():
    first, chosen = mixture_of(0.5, 0.5), mixture_of(0.1, 0.9)
    hits, weights = [one_token([2.0]), one_token([-1.0])], np.array([3.0, 1.0])
    by_hand = [np.log(0.1 + 0.9 * np.exp(ratio)) - np.log(0.5 + 0.5 * np.exp(ratio)) for ratio in (2.0, -1.0)]
    assert gain_nats(chosen, first, hits, weights) == pytest.approx(np.average(by_hand, weights=weights))
    assert gain_nats(first, first, hits, weights) == 0
