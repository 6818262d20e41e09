"""Several readers, one status: what is unread adds up, silence is told, and who ended counts no longer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.store_keys import store_at
from support.store_records import NOON

from riskmon.records import TrafficStatus
from riskmon.store import Store, open_store

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def other(store: Store, store_url: str):
    """The same database, as another process sees it."""
    store.process = "node-1"
    with open_store(store_at(store_url)) as opened:
        opened.process = "node-2"
        yield opened


def test_a_process_is_named_by_host_and_number(store: Store) -> None:
    host, _, number = store.process.rpartition("-")
    assert host
    assert number.isdigit()


def test_what_is_unread_is_the_sum_and_the_newest_check_counts(store: Store, other: Store) -> None:
    store.write_traffic_status(TrafficStatus(True, 17, NOON))
    other.write_traffic_status(TrafficStatus(True, 4, NOON + SECOND))
    expected = TrafficStatus(True, 21, NOON + SECOND, readers=2)
    assert store.traffic_status(NOON + 2 * SECOND) == expected
    assert other.snapshot(NOON + 2 * SECOND).traffic == expected
    assert store.own_traffic_status() == TrafficStatus(True, 17, NOON)
    other.write_traffic_status(TrafficStatus(True, None, NOON + 2 * SECOND))
    assert store.traffic_status(NOON + 2 * SECOND) == TrafficStatus(True, None, NOON + 2 * SECOND, readers=2)


def test_one_that_does_not_reach_the_source_is_enough_and_is_named(store: Store, other: Store) -> None:
    store.write_traffic_status(TrafficStatus(True, 17, NOON))
    other.write_traffic_status(TrafficStatus(False, None, NOON, "no broker answers"))
    assert store.traffic_status(NOON) == TrafficStatus(
        False, None, NOON, "node-2: no broker answers", readers=2
    )


def test_a_silent_one_counts_no_longer_and_is_named_for_an_hour(store: Store, other: Store) -> None:
    other.write_traffic_status(TrafficStatus(False, 900, NOON, "no broker answers"))
    for passed, expected in (
        (MINUTE, TrafficStatus(False, 917, NOON + MINUTE, "node-2: no broker answers", 2)),
        (MINUTE + SECOND, TrafficStatus(True, 17, NOON + MINUTE + SECOND, "No word from node-2 for over a minute.")),
        (HOUR + SECOND, TrafficStatus(True, 17, NOON + HOUR + SECOND)),
    ):  # fmt: skip
        store.write_traffic_status(TrafficStatus(True, 17, NOON + passed))
        assert store.traffic_status(NOON + passed) == expected


@pytest.mark.parametrize("passed", [2 * MINUTE, 48 * HOUR, -2 * MINUTE])
def test_where_all_are_silent_the_source_is_not_up(store: Store, other: Store, passed: timedelta) -> None:
    store.write_traffic_status(TrafficStatus(True, 17, NOON - SECOND))
    other.write_traffic_status(TrafficStatus(True, 3, NOON))
    found = store.traffic_status(NOON + passed)
    told = f"Nothing reads the traffic: node-2 has said nothing since {NOON:%Y-%m-%d} 12:00:00 UTC."
    assert found == TrafficStatus(False, None, NOON, told, readers=0)


def test_one_that_ended_counts_no_longer_at_once(store: Store, other: Store) -> None:
    store.write_traffic_status(TrafficStatus(True, 17, NOON))
    other.write_traffic_status(TrafficStatus(True, 3, NOON))
    other.end_traffic_status()
    assert store.traffic_status(NOON) == TrafficStatus(True, 17, NOON)
    store.write_traffic_status(TrafficStatus(True, 16, NOON + SECOND))
    assert other.own_traffic_status() is None


def test_the_last_one_that_ended_leaves_word_that_nothing_is_read(store: Store, other: Store) -> None:
    other.write_traffic_status(TrafficStatus(True, 3, NOON))
    other.end_traffic_status()
    told = "Nothing reads the traffic: node-2 ended in order."
    assert store.traffic_status(NOON + SECOND) == TrafficStatus(False, None, NOON, told, readers=0)
    other.write_traffic_status(TrafficStatus(True, 2, NOON + SECOND))
    assert store.traffic_status(NOON + SECOND) == TrafficStatus(True, 2, NOON + SECOND)


def test_one_that_never_read_has_nothing_to_end(store: Store) -> None:
    store.end_traffic_status()
    assert store.traffic_status(NOON) is None
