import logging
from dataclasses import replace

import pytest
from support.snapshots import EMPTY, FULL

from riskmon.errors import StoreUnavailable
from riskmon.publish.latest import LatestSnapshot


class Store:
    """Hands out snapshots, or fails while `down`; counts how often it is asked."""

    def __init__(self):
        self.down = False
        self.reads = 0

    def read(self):
        self.reads += 1
        if self.down:
            raise StoreUnavailable("database is locked")
        return replace(FULL, counters=replace(FULL.counters, consumed=self.reads))


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def latest(store, clock):
    return LatestSnapshot(store.read, clock=lambda: clock[0])


def test_one_read_serves_all_scrapes_of_a_second(store, clock, latest):
    assert latest() is latest()
    clock[0] += 0.99
    assert latest().counters.consumed == 1
    clock[0] += 0.02
    assert latest().counters.consumed == 2


def test_a_store_that_is_down_is_asked_once_a_second_and_logged_once(store, clock, latest, caplog):
    caplog.set_level(logging.INFO, "riskmon.publish.latest")
    store.down = True
    for _ in range(3):
        assert latest() is None
        assert latest() is None
        clock[0] += 1.5
    assert store.reads == 3
    store.down = False
    assert latest().counters.consumed == 4
    clock[0] += 1.5
    assert latest().counters.consumed == 5
    assert [(record.levelname, "database is locked" in record.message) for record in caplog.records] == [
        ("ERROR", True),
        ("INFO", False),
    ]


def test_a_fault_that_is_no_store_failure_is_not_hidden():
    def broken():
        raise KeyError("harm")

    with pytest.raises(KeyError):
        LatestSnapshot(broken)()
    assert LatestSnapshot(lambda: EMPTY)() is EMPTY
