import numpy as np
from support.estimates import made_draws

from riskmon.estimate.evidence import Reading, Stage
from riskmon.estimate.weights import balance_weights
from riskmon.records import Verdicts


def test_a_stage_keeps_what_the_estimate_needs_of_its_draws():
    p = np.full(6, -2.0)
    draws = made_draws(p, [p, p + 1], [0, 0, 1, 1, 1, 1])
    draws.ended[[1, 4]] = False
    stage = Stage.of(draws, balance_weights(draws), counted=True, slope=(0.0, 0.5))
    assert len(stage) == 6
    assert (stage.target_draws, stage.cut, stage.tokens, stage.device_seconds) == (2, 2, 6, 0.5)
    assert stage.slope == (0.0, 0.5)


def test_a_reading_tells_harmful_unreadable_and_harmless_apart():
    reading = Reading.of(Verdicts(np.array([0.7, 0.69, np.nan, 0.0])), 0.7)
    assert reading.harmful.tolist() == [True, False, False, False]
    assert reading.unreadable.tolist() == [False, False, True, False]
    assert reading.events.tolist() == [1, 0, 0, 0]
    assert reading.worst_events.tolist() == [1, 0, 1, 0]
    assert reading.largest == 1


def test_events_count_as_often_as_their_verdicts_stand_for():
    verdicts = Verdicts(np.array([1.0, 1.0, np.nan, 0.0]), np.array([1.0, 0.0, 4.0, 4.0]))
    reading = Reading.of(verdicts, 0.5)
    assert reading.events.tolist() == [1, 0, 0, 0]
    assert reading.worst_events.tolist() == [1, 0, 4, 0]
    assert reading.largest == 4


def test_the_largest_multiplicity_is_never_below_one():
    """With nothing read the bound must not fall under the weights' own."""
    assert Reading.of(Verdicts(np.zeros(3), np.zeros(3)), 0.5).largest == 1
