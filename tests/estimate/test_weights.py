import numpy as np
import pytest
from support.estimates import made_draws

from riskmon.estimate.weights import balance_weights, effective_sample_size, stratified_stderr

LOG = np.log


def test_weights_are_target_over_the_mixture():
    # Two draws of the target, six of a proposal; shares 1/4 and 3/4.
    p = np.array([0.1, 0.2, 0.3, 0.1, 0.05, 0.4, 0.02, 0.3])
    q = np.array([0.3, 0.1, 0.1, 0.6, 0.5, 0.2, 0.7, 0.1])
    draws = made_draws(LOG(p), [LOG(p), LOG(q)], [0, 0, 1, 1, 1, 1, 1, 1])
    expected = p / (0.25 * p + 0.75 * q)
    np.testing.assert_allclose(balance_weights(draws).values, expected, rtol=1e-14)
    assert balance_weights(draws).bound == 4


def test_float64_keeps_weights_that_float32_would_lose():
    # 200 nats down: exp(-200) is zero in float32, and the ratio of two such numbers is not.
    draws = made_draws([-200.0] * 4, [[-200.0] * 4, [-203.0] * 4], [0, 1, 1, 1])
    expected = 1 / (0.25 + 0.75 * np.exp(-3))
    assert np.exp(np.float32(-200)) == 0
    np.testing.assert_allclose(balance_weights(draws).values, expected, rtol=1e-12)


def test_outside_the_target_the_weight_is_zero():
    draws = made_draws([-np.inf, -1.0], [[-np.inf, -1.0], [-0.5, -2.0]], [1, 0])
    assert balance_weights(draws).values[0] == 0


def test_a_proposal_without_draws_is_no_part_of_the_mixture():
    draws = made_draws([-1.0, -1.0], [[-1.0, -1.0], [-0.1, -0.1]], [0, 0])
    np.testing.assert_allclose(balance_weights(draws).values, 1.0)


@pytest.mark.parametrize("broken", [np.nan, 5.0])
def test_a_weight_that_cannot_be_stops_the_estimate(broken):
    draws = made_draws([-1.0, broken], [[-1.0, -1.0], [-2.0, -2.0]], [0, 1])
    with pytest.raises(FloatingPointError):
        balance_weights(draws)


def test_effective_sample_size():
    assert effective_sample_size(np.zeros(5)) == 0
    assert effective_sample_size(np.array([2.0, 2.0, 2.0, 0.0])) == pytest.approx(3)
    assert effective_sample_size(np.array([1e300, 1e300])) == pytest.approx(2)


def test_stderr_ignores_differences_between_proposals():
    values = np.array([1.0, 1.0, 9.0, 9.0])
    assert stratified_stderr(values, np.array([0, 0, 1, 1])) == 0
    assert stratified_stderr(values, np.zeros(4, dtype=int)) == pytest.approx(np.std(values, ddof=1) / 2)


def test_stderr_of_one_draw_is_unknown():
    assert stratified_stderr(np.array([1.0]), np.array([0])) is None


def test_stderr_matches_the_spread_over_repetitions():
    rng = np.random.default_rng(5)
    proposal = np.repeat([0, 1, 2], [20, 50, 130])
    means = np.array([0.5, 2.0, 7.0])[proposal]
    scales = np.array([3.0, 1.0, 0.2])[proposal]
    runs = rng.normal(means, scales, size=(4000, 200))
    stated = np.mean([stratified_stderr(run, proposal) ** 2 for run in runs[:400]]) ** 0.5
    assert stated == pytest.approx(runs.mean(axis=1).std(ddof=1), rel=0.05)


def test_lonely_draws_do_not_understate():
    rng = np.random.default_rng(6)
    proposal = np.array([0] * 10 + [1, 2, 3])
    stated = stratified_stderr(rng.normal(size=13), proposal)
    assert stated is not None
    assert stated > 0.1
