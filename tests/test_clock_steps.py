from datetime import UTC, datetime, timedelta

import pytest

from riskmon.clock_steps import ClockSteps

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("wall_s", "steady_s", "step_s"),
    [
        (10, 10, 0),
        (10.4, 10, 0),  # NTP at its daily work
        (3610, 10, 3600),
        (-3590, 10, -3600),
        (0, 3600, -3600),
    ],
)
def test_a_step_is_what_the_wall_clock_moved_beyond_the_steady_one(wall_s, steady_s, step_s):
    walls, steadies = iter([NOON, NOON + timedelta(seconds=wall_s)]), iter([5.0, 5.0 + steady_s])
    steps = ClockSteps(lambda: next(walls), lambda: next(steadies))
    assert steps.take() == timedelta(seconds=step_s)


def test_a_step_is_told_once():
    walls = iter([NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=1)])
    steps = ClockSteps(lambda: next(walls), lambda: 5.0)
    assert [steps.take(), steps.take()] == [timedelta(hours=-1), timedelta(0)]
