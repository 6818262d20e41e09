import numpy as np
import pytest

from riskmon.estimate.proposals import Proposal, allocate, log_densities, plan_proposals


def test_every_expert_in_every_window_behind_the_target():
    plan = plan_proposals(3, [(0, 4), (2, None)], 10)
    assert plan == (
        Proposal(0, 0, 10),
        Proposal(1, 0, 4),
        Proposal(1, 2, 10),
        Proposal(2, 0, 4),
        Proposal(2, 2, 10),
    )


def test_windows_are_cut_at_the_cap_and_repeats_dropped():
    assert plan_proposals(2, [(0, 16), (0, None), (12, 20)], 8) == (Proposal(0, 0, 8), Proposal(1, 0, 8))


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
def test_allocation(samples, share, proposals, counts):
    assert allocate(samples, share, proposals).tolist() == counts


def test_densities_take_each_step_from_its_speaker():
    rng = np.random.default_rng(0)
    log_probs = -rng.random((2, 5, 6))
    densities = log_densities(log_probs, [Proposal(0, 0, 6), Proposal(1, 2, 4)])
    by_hand = log_probs[0][:, [0, 1, 4, 5]].sum(1) + log_probs[1][:, [2, 3]].sum(1)
    np.testing.assert_allclose(densities[0], log_probs[0].sum(1))
    np.testing.assert_allclose(densities[1], by_hand)


def test_outside_the_support_the_density_is_zero_and_not_undefined():
    log_probs = np.zeros((2, 1, 2))
    log_probs[0, 0, 0] = -np.inf
    densities = log_densities(log_probs, [Proposal(0, 0, 2), Proposal(1, 0, 1)])
    assert densities[:, 0].tolist() == [-np.inf, 0.0]
