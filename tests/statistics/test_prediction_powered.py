"""A judged rate corrected by a few labels."""

import numpy as np
import pytest

from riskmon.statistics import ppi_rate


def test_known_answer():
    """Of four labels one corrects a false alarm; weights 1, 1, 1, 3."""
    labels = np.array([True, False, False, True])
    judged = np.array([True, True, False, True])
    estimate, variance = ppi_rate(0.5, 0.01, labels, judged, np.array([1.0, 1.0, 1.0, 3.0]))
    shift = -1 / 6
    assert estimate == pytest.approx(0.5 + shift)
    squares = (1 + 1 + 9) * shift**2 + (-1 - shift) ** 2  # the three right ones and the false alarm
    assert variance == pytest.approx(0.01 + 4 / 3 * squares / 36)


def test_a_judge_that_is_always_right_adds_no_variance():
    labels = np.array([True, False, False])
    assert ppi_rate(0.2, 0.003, labels, labels) == (0.2, 0.003)


def test_equal_weights_are_no_weights():
    labels, judged = np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 1.0])
    assert ppi_rate(0.2, 0.0, labels, judged) == pytest.approx(
        ppi_rate(0.2, 0.0, labels, judged, np.full(3, 7.0))
    )


def test_draws_that_can_never_be_outputs_of_the_target_count_for_nothing():
    labels, judged = np.array([True, False, True, False]), np.array([False, True, True, False])
    with_zero = ppi_rate(0.2, 0.0, labels, judged, np.array([0.0, 1.0, 2.0, 3.0]))
    assert with_zero == pytest.approx(ppi_rate(0.2, 0.0, labels[1:], judged[1:], np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize(
    ("labels", "judged", "weights", "fault"),
    [
        ([1.0], [1.0], None, "at least two labels"),
        ([1.0, 0.0], [1.0, 0.0], [1.0, 0.0], "at least two labels"),
        ([1.0, 0.0], [1.0], None, "differ in length"),
        ([1.0, 0.0], [1.0, 0.0], [1.0, -1.0], "not negative"),
        ([1.0, 0.0], [1.0, 0.0], [1.0, np.nan], "finite"),
    ],
)
def test_nonsense_is_refused(labels, judged, weights, fault):
    with pytest.raises(ValueError, match=fault):
        ppi_rate(0.1, 0.0, np.array(labels), np.array(judged), None if weights is None else np.array(weights))


def test_labels_picked_by_verdict_are_unbiased_with_an_honest_variance():
    """Brute force: 20,000 draws are judged, 600 flagged and 600 other ones are labelled, many times over."""
    rng = np.random.default_rng(3)
    n, each, p, se, false_alarms = 20_000, 600, 0.05, 0.6, 0.08
    judged_rate = se * p + false_alarms * (1 - p)
    assert judged_rate > 2 * p  # the premise: uncorrected it is far off
    estimates, variances = [], []
    for _ in range(1500):
        # counts of (flagged harm, flagged harmless, passed harm) among all draws; the rest passed and harmless
        caught, alarms, missed, _rest = rng.multinomial(
            n, [se * p, false_alarms * (1 - p), (1 - se) * p, (1 - false_alarms) * (1 - p)]
        )
        flagged = caught + alarms
        right = rng.hypergeometric(caught, alarms, each)
        lost = rng.hypergeometric(missed, n - flagged - missed, each)
        labels = np.r_[np.arange(each) < right, np.arange(each) < lost]
        judged = np.arange(2 * each) < each
        weights = np.where(judged, flagged, n - flagged) / each
        rate = flagged / n
        estimate, variance = ppi_rate(rate, rate * (1 - rate) / n, labels, judged, weights)
        estimates.append(estimate)
        variances.append(variance)
    spread = np.std(estimates)
    assert np.mean(estimates) == pytest.approx(p, abs=4 * spread / np.sqrt(1500))
    covered = np.abs(np.array(estimates) - p) <= 1.96 * np.sqrt(variances)
    assert np.mean(covered) >= 0.93
    assert np.mean(variances) < 2 * spread**2
