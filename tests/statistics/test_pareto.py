import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy.stats import genpareto

from riskmon.statistics.pareto import tail_index


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.5, 0.9, 1.4])
def test_known_shape_is_found(shape):
    values = genpareto.rvs(shape, size=40_000, random_state=np.random.default_rng(7)) + 1.0
    assert tail_index(values) == pytest.approx(shape, abs=0.13)


def test_agrees_with_the_reference_implementation():
    rng = np.random.default_rng(3)
    log_weights = rng.standard_t(4, size=4000)
    _, reference = array_stats.psislw(
        -log_weights
    )  # it takes log-likelihoods, whose negatives are the weights
    assert tail_index(np.exp(log_weights)) == pytest.approx(float(reference), abs=1e-6)


def test_scale_does_not_matter():
    values = np.random.default_rng(1).pareto(2.0, size=1000)
    assert tail_index(values) == pytest.approx(tail_index(values * 1e-200), rel=1e-9)


def test_a_candidate_of_zero_is_the_exponential_distribution():
    tail = np.array([0.5 / 14, 0.75 / 14, 1 / 14, 2 / 14, 0.75])  # excesses whose 25th candidate is exactly 0
    values = np.concatenate([np.full(21, 0.25), 0.25 + tail])
    nearby = np.concatenate([np.full(21, 0.25), 0.25 + tail * (1 + 1e-7 * np.arange(5))])
    assert tail_index(values) == pytest.approx(tail_index(nearby), rel=1e-4)


@pytest.mark.parametrize("values", [np.zeros(1000), np.ones(24), np.full(1000, 0.3), np.empty(0)])
def test_no_tail_no_index(values):
    assert tail_index(values) is None
