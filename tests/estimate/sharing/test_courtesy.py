"""When to rest, from readings and times alone."""

import math

import pytest

from riskmon.estimate.sharing.courtesy import Courtesy


def decisions(courtesy, readings, every=1.0):
    return [courtesy.see(share, every * step) for step, share in enumerate(readings)]


def test_the_first_reading_decides():
    assert Courtesy(0.3, 0.2, 5).see(0.31, 100.0)
    assert not Courtesy(0.3, 0.2, 5).see(0.3, 100.0)


def test_readings_are_smoothed_over_time_and_not_over_their_number():
    """1 - exp(-t / s) of a step, whether it was read once or ten times."""
    for parts in (1, 10):
        courtesy = Courtesy(1, 1, 4)
        courtesy.see(0.0, 0.0)
        for part in range(1, parts + 1):
            courtesy.see(0.8, 3.0 * part / parts)
        assert courtesy.level == pytest.approx(0.8 * (1 - math.exp(-3 / 4)))


def test_one_short_request_does_not_stop_work_and_a_busy_minute_does():
    courtesy = Courtesy(0.3, 0.2, 5)
    assert not any(decisions(courtesy, [0, 0, 1, 0, 0]))
    busy = decisions(Courtesy(0.3, 0.2, 5), [0, 0.9, 0.9, 0.9, 0.9])
    # 0.9 (1 - exp(-t / 5)) passes 0.3 after 2.03 s.
    assert busy == [False, False, False, True, True]


def test_it_does_not_flap_around_the_limit():
    """Readings that swing from a quarter to a half keep it at rest; it goes on once they are low."""
    swing = [0.25, 0.5] * 20
    courtesy = Courtesy(0.3, 0.2, 0.1)
    swung = decisions(courtesy, swing)
    assert swung[0] is False
    assert all(swung[1:])
    plain = Courtesy(0.3, 0.3, 0.1)
    assert len(set(decisions(plain, swing)[1:])) == 2
    calm = [courtesy.see(0.05, 40.0 + step) for step in range(6)]
    assert calm[-1] is False
    assert sorted(calm, reverse=True) == calm
