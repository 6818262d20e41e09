"""The drawn trend: positions can be computed by hand, gaps stay open, one wild day does not flatten the rest."""

from dataclasses import replace
from datetime import timedelta

import pytest
from support.snapshots import FORECASTS, NOW

from riskmon.publish import trend

TOTAL = FORECASTS[0]


def made(hours_ago: float, expected: float, lower: float = 0.0, upper: float | None = None):
    upper = 2 * expected if upper is None else upper
    moment = NOW - timedelta(hours=hours_ago)
    return replace(TOTAL, made_at=moment, expected=expected, lower=lower, upper=upper)


def drawn(history, budget=None):
    found = trend.draw(history, budget)
    assert found is not None
    return found


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_points_stand_where_time_and_number_put_them():
    found = drawn([made(4, 10, 5, 20), made(3, 20, 10, 40), made(0, 30, 15, 40)])
    assert (found.lowest, found.highest) == (10, 30)
    assert found.top == pytest.approx(44)
    (stretch,) = found.stretches
    y = {value: round(trend.HEIGHT * (1 - value / 44), 1) for value in (5, 10, 15, 20, 30, 40)}
    assert points(stretch.line) == [(0, y[10]), (80, y[20]), (320, y[30])]
    above = [(0, y[20]), (80, y[40]), (320, y[40])]
    below = [(320, y[15]), (80, y[10]), (0, y[5])]
    assert points(stretch.band) == above + below
    assert found.last == (320, y[30])
    assert found.since == NOW - timedelta(hours=4)


def test_the_order_of_the_history_does_not_matter():
    history = [made(hours, 10 + hours) for hours in range(6)]
    assert trend.draw(history, 5.0) == trend.draw(history[::-1], 5.0)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_short_a_past_is_not_drawn(count):
    assert trend.draw([made(hours, 10) for hours in range(count)], None) is None


def test_forecasts_of_one_moment_are_no_past():
    assert trend.draw([made(1, 10)] * 400, None) is None


def test_an_absence_leaves_a_gap_and_a_lone_forecast_is_a_dot():
    hours = [*range(40, 20, -1), 10, *range(3, -1, -1)]
    found = drawn([made(hour, 10) for hour in hours])
    assert [len(points(stretch.line)) for stretch in found.stretches] == [20, 1, 4]
    assert [stretch.single is None for stretch in found.stretches] == [True, False, True]
    assert found.stretches[1].single == points(found.stretches[1].line)[0]


def test_short_irregular_steps_are_no_gap():
    found = drawn([made(hours, 10) for hours in (0.0, 0.01, 0.02, 0.03, 0.9)])
    assert len(found.stretches) == 1


def test_a_long_past_is_thinned_and_keeps_both_ends():
    history = [made(hours / 12, 10 + hours % 7) for hours in range(4032)]
    found = drawn(history)
    assert len(found.stretches) == 1
    line = points(found.stretches[0].line)
    assert len(line) <= trend.SLOTS + 1
    assert (line[0][0], line[-1][0]) == (0, trend.WIDTH)
    assert found.since == history[-1].made_at
    assert found.until == history[0].made_at
    # The newest forecast is the one drawn at the right edge.
    assert line[-1][1] == round(trend.HEIGHT * (1 - history[0].expected / found.top), 1)


def test_one_wide_interval_is_cut_off_at_the_top():
    found = drawn([made(hours, 10, 5, 1e6 if hours == 7 else 20) for hours in range(12)])
    assert found.top == pytest.approx(22)
    assert min(y for _, y in points(found.stretches[0].band)) == 0
    assert max(y for _, y in points(found.stretches[0].line)) > 0


def test_the_highest_expected_number_is_never_cut_off():
    found = drawn([made(hours, 900 if hours == 7 else 10) for hours in range(12)])
    assert found.top > 900


@pytest.mark.parametrize(("budget", "shown"), [(None, False), (30.0, True), (0.0, True), (500.0, False)])
def test_a_budget_is_drawn_where_it_is_near(budget, shown):
    found = drawn([made(hours, 10) for hours in range(5)], budget)
    assert (found.budget_y is not None) is shown
    if shown:
        assert found.budget_y == round(trend.HEIGHT * (1 - budget / found.top), 1)
        assert 0 <= found.budget_y <= trend.HEIGHT


def test_numbers_that_are_not_finite_are_left_out():
    odd = [made(5, float("nan"), 0, 1), made(6, 3, 0, float("inf"))]
    sound = [made(hours, 10) for hours in range(4)]
    assert trend.draw([*odd, *sound], None) == trend.draw(sound, None)


def test_a_past_of_zeros_lies_on_the_floor():
    found = drawn([made(hours, 0.0) for hours in range(4)])
    assert {y for _, y in points(found.stretches[0].line)} == {trend.HEIGHT}
