import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riskmon.estimate.proposals import (
    TARGET,
    Mixture,
    Proposal,
    Voice,
    count_draws,
    first_mixture,
    log_densities,
    voices_of,
)


def equal_shares(proposals, target_share):
    return first_mixture(proposals, [(0, 1)], 1, target_share)


def test_every_voice_in_every_window_behind_the_target():
    mixture = first_mixture(3, [(0, 4), (2, None)], 10, 0.2)
    assert mixture.proposals == (
        Proposal(0, 0, 10),
        Proposal(1, 0, 4),
        Proposal(1, 2, 10),
        Proposal(2, 0, 4),
        Proposal(2, 2, 10),
    )
    np.testing.assert_allclose(mixture.shares, [0.2, 0.2, 0.2, 0.2, 0.2])


def test_windows_are_cut_at_the_cap_and_repeats_dropped():
    mixture = first_mixture(2, [(0, 16), (0, None), (12, 20)], 8, 0.1)
    assert mixture.proposals == (Proposal(0, 0, 8), Proposal(1, 0, 8))
    np.testing.assert_allclose(mixture.shares, [0.1, 0.9])


def test_without_voices_everything_comes_from_the_target():
    mixture = first_mixture(1, [(0, None)], 8, 0.1)
    assert mixture.proposals == (Proposal(0, 0, 8),)
    assert mixture.shares.tolist() == [1]


def test_a_defensive_share_of_one_leaves_no_room_for_others():
    """Shares are positive: a proposal without a share is none."""
    mixture = first_mixture(3, [(0, None)], 8, 1.0)
    assert mixture.proposals == (Proposal(0, 0, 8),)
    assert mixture.shares.tolist() == [1]


def test_a_voice_per_rung_experts_in_their_order():
    assert voices_of([(1.0, 0.5), (2.0,)]) == (TARGET, Voice(1, 0.5), Voice(1, 1.0), Voice(2, 2.0))
    assert voices_of([]) == (TARGET,)


def test_a_proposal_speaks_in_its_window_only():
    assert [Proposal(3, 1, 3).voice_at(step) for step in range(5)] == [0, 3, 3, 0, 0]


@pytest.mark.parametrize(
    ("samples", "share", "proposals", "counts"),
    [
        (500, 0.1, 4, [50, 150, 150, 150]),
        (11, 0.1, 3, [2, 5, 4]),
        (100, 1.0, 2, [100, 0]),
        (7, 0.25, 1, [7]),
        (30, 0.1, 2, [3, 27]),
    ],
)
def test_whole_draws_of_equal_shares(samples, share, proposals, counts):
    mixture = equal_shares(proposals, min(share, 0.5))
    assert count_draws(mixture, samples, share).tolist() == counts


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.01, 1), min_size=2, max_size=12),
    st.integers(4, 600),
    st.floats(0.02, 0.6),
)
def test_whole_draws_keep_to_the_shares_and_to_the_target_s_least(parts, samples, defensive):
    shares = np.array(parts) / sum(parts)
    mixture = Mixture(tuple(Proposal(k, 0, 1) for k in range(len(shares))), shares)
    counts = count_draws(mixture, samples, defensive)
    assert counts.sum() == samples
    assert counts.min() >= 0
    assert counts[0] >= max(2, defensive * samples - 1e-9)
    assert counts[0] == pytest.approx(
        max(2, np.ceil(defensive * samples - 1e-9), shares[0] * samples), abs=0.51
    )
    rest = shares[1:] / shares[1:].sum() * (samples - counts[0])
    assert np.abs(counts[1:] - rest).max() < 1 + 1e-6


def test_densities_take_each_step_from_its_speaker():
    rng = np.random.default_rng(0)
    log_probs = -rng.random((2, 5, 6))
    densities = log_densities(log_probs, [Proposal(0, 0, 6), Proposal(1, 2, 4)])
    by_hand = log_probs[0][:, [0, 1, 4, 5]].sum(1) + log_probs[1][:, [2, 3]].sum(1)
    np.testing.assert_allclose(densities[0], log_probs[0].sum(1))
    np.testing.assert_allclose(densities[1], by_hand)


def test_densities_read_only_what_a_proposal_needs():
    log_probs = -np.random.default_rng(0).random((3, 5, 6))
    holed = log_probs.copy()
    holed[1, :, [0, 1, 4, 5]] = np.nan
    holed[2] = np.nan
    proposals = [Proposal(0, 0, 6), Proposal(1, 2, 4)]
    np.testing.assert_array_equal(log_densities(holed, proposals), log_densities(log_probs, proposals))


def test_outside_the_support_the_density_is_zero_and_not_undefined():
    log_probs = np.zeros((2, 1, 2))
    log_probs[0, 0, 0] = -np.inf
    densities = log_densities(log_probs, [Proposal(0, 0, 2), Proposal(1, 0, 1)])
    assert densities[:, 0].tolist() == [-np.inf, 0.0]
