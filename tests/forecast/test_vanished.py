"""Strata whose traffic has ended, told from those that are rare, asleep, or not counted."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from riskmon.forecast import find_vanished
from riskmon.records import Stratum, VolumeWindow
from riskmon.records.strata import StratumChange, StratumEvent

HOUR = timedelta(hours=1)
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
AFTER = 36 * HOUR
STEADY, OTHER = Stratum((("route", "steady"),)), Stratum((("route", "sometimes"),))


def windows(stratum, hours, requests, variance=0.0):
    """One window for each hour since the start; `requests` is a number, or says it by the hour."""
    numbers = [requests(hour) if callable(requests) else requests for hour in hours]
    return [
        VolumeWindow(START + hour * HOUR, stratum, int(number), variance)
        for hour, number in zip(hours, numbers, strict=True)
        if number
    ]


def found(counts, hour, after=AFTER):
    return find_vanished(counts, window=HOUR, after=after, now=START + hour * HOUR)


def test_a_stratum_that_ends_is_found_with_its_share_once_it_was_silent_long_enough():
    counts = windows(STEADY, range(400), 900) + windows(OTHER, range(300), 100)
    assert found(counts, 300 + 35) == []
    (event,) = found(counts, 300 + 36)
    assert event == StratumEvent(
        START + 336 * HOUR, StratumChange.VANISHED, OTHER, START + 300 * HOUR, pytest.approx(0.1)
    )


def test_the_window_under_way_is_no_silence():
    counts = windows(STEADY, range(337), 900) + windows(OTHER, range(300), 100)
    assert found(counts, 335.9) == []
    assert len(found(counts, 336)) == 1


@pytest.mark.parametrize(("requests", "told"), [(12, True), (5, False)])
def test_ten_requests_must_have_been_expected(requests, told):
    """One every three hours or every seven, for two weeks, and then none for forty hours."""
    counts = windows(STEADY, range(400), 900) + windows(OTHER, range(0, 336, 36 // requests), 1)
    last = max(item.start for item in counts if item.stratum == OTHER)
    quiet = int((last - START) / HOUR) + 1
    assert bool(found(counts, quiet + 40)) == told


def test_a_gap_in_all_counts_is_nobody_s_silence():
    """All was down for two days; the other stratum's first message after it has not come yet."""
    counts = windows(OTHER, range(200), 100) + windows(STEADY, [*range(200), *range(248, 252)], 900)
    assert found(counts, 252) == []


def test_who_sleeps_on_weekends_has_not_vanished():
    def office(hour):
        return 50 if (hour // 24) % 7 < 5 else 0

    counts = windows(STEADY, range(500), 900) + windows(OTHER, range(500), office)
    for hour in range(24 * 5, 480):
        until = [item for item in counts if item.start < START + hour * HOUR]
        assert found(until, hour) == [], hour
    # Who does not come back on Monday has.
    gone = [item for item in counts if item.stratum == STEADY or item.start < START + 120 * HOUR]
    assert [bool(found(gone, hour)) for hour in (168, 191, 192)] == [False, False, True]


def test_rare_strata_do_not_flap():
    """Fifty strata of six requests a day at random, for three weeks, asked every hour."""
    rng = np.random.default_rng(5)
    hours = range(24 * 21)
    counts = windows(STEADY, hours, 900)
    for place in range(50):
        numbers = rng.poisson(6 / 24, len(hours))
        counts += windows(Stratum((("route", f"rare-{place}"),)), hours, lambda hour, n=numbers: n[hour])
    told = {
        event.stratum
        for hour in range(48, len(hours), 6)
        for event in found([item for item in counts if item.start < START + hour * HOUR], hour)
    }
    assert len(told) <= 1


def test_of_an_estimated_count_the_messages_behind_it_must_be_expected():
    """A hundred requests an hour with a variance that only a hundredth of them being read explains: one message."""
    exact = windows(STEADY, range(300), 900) + windows(OTHER, range(200), 20)
    assert len(found(exact, 240)) == 1
    estimated = windows(STEADY, range(300), 900) + windows(OTHER, range(200), 20, variance=20 * 100)
    assert found(estimated, 240) == []


def test_without_counts_nothing_has_vanished():
    assert found([], 100) == []
