"""Leases: one holder at a time, until it gives back, falls silent, or its clock is found to stand wrong."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from support.store_keys import store_at
from support.store_records import NOON

from riskmon.store import Store, open_store
from riskmon.store.leases import Lease, Leases

LENGTH = timedelta(seconds=20)
SECOND = timedelta(seconds=1)


@pytest.fixture
def leases(store: Store) -> list[Leases]:
    """Those of two processes on one database."""
    return [Leases(store._database, name) for name in ("a", "b")]


def test_it_is_held_until_it_runs_out_and_renewing_keeps_its_beginning(leases: list[Leases]) -> None:
    first, second = leases
    assert first.read("device") is None
    assert first.take("device", NOON, LENGTH) == Lease("a", NOON, NOON + LENGTH)
    renewed = Lease("a", NOON, NOON + 5 * SECOND + LENGTH)
    assert first.take("device", NOON + 5 * SECOND, LENGTH) == renewed
    assert second.take("device", NOON + LENGTH, LENGTH) == renewed
    assert second.read("device") == renewed
    late = renewed.until
    assert second.take("device", late, LENGTH) == Lease("b", late, late + LENGTH)
    assert first.take("device", late, LENGTH).holder == "b"


def test_names_have_nothing_to_do_with_one_another(leases: list[Leases]) -> None:
    first, second = leases
    first.take("device", NOON, LENGTH)
    assert second.take("desk", NOON, LENGTH).holder == "b"


def test_only_the_holder_gives_it_back(leases: list[Leases]) -> None:
    first, second = leases
    first.take("device", NOON, LENGTH)
    second.release("device")
    assert second.take("device", NOON, LENGTH).holder == "a"
    first.release("device")
    assert first.read("device") is None
    assert second.take("device", NOON, LENGTH).holder == "b"


def test_one_far_in_the_future_falls_to_who_saw_it_stand_still(leases: list[Leases]) -> None:
    """As after a clock was set back while its holder died."""
    first, second = leases
    seen = first.take("device", NOON + timedelta(hours=9), LENGTH)
    assert second.take("device", NOON, LENGTH).holder == "a"
    first.take("device", NOON + timedelta(hours=9, seconds=1), LENGTH)
    assert second.take("device", NOON, LENGTH, unchanged=seen).holder == "a"
    assert second.take("device", NOON, LENGTH, unchanged=first.read("device")).holder == "b"


def test_of_many_that_ask_at_once_one_gets_it(store_url: str, store: Store) -> None:
    got: list[str] = []
    ready = threading.Barrier(4)

    def ask(name: str) -> None:
        with open_store(store_at(store_url)) as own:
            ready.wait()
            got.append(Leases(own._database, name).take("device", NOON, LENGTH).holder)

    threads = [threading.Thread(target=ask, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 4
    assert len(set(got)) == 1
