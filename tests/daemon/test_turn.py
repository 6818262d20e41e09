"""One process at a time: who lives is let work, who died is followed, and who stands by is there at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from riskmon.daemon import turn
from riskmon.daemon.turn import DEVICE, Turn
from riskmon.errors import StoreUnavailable
from riskmon.store import Store, open_store
from riskmon.store.leases import Leases


def now() -> datetime:
    return datetime.now(UTC)


def never() -> bool:
    return False


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths."""
    monkeypatch.setattr(turn, "LENGTH", timedelta(seconds=2))
    monkeypatch.setattr(turn, "_RENEW_S", 0.2)
    monkeypatch.setattr(turn, "_LOOK_S", 0.05)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    """The store as two processes see it."""
    with (
        open_store(f"sqlite:///{tmp_path}/risk.db") as one,
        open_store(f"sqlite:///{tmp_path}/risk.db") as two,
    ):
        one.process, two.process = "a", "b"
        yield [one, two]


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_who_finds_it_free_has_it_and_gives_it_back(stores: list[Store], quick: None) -> None:
    own = Turn(stores[0], DEVICE, now)
    with own.held(never) as other:
        assert other is None
        assert own.ours
        assert stores[1].leases.read(DEVICE).holder == "a"
    assert not own.ours
    assert stores[1].leases.read(DEVICE) is None


def test_who_lives_is_named_to_the_second_one(stores: list[Store], quick: None) -> None:
    with Turn(stores[0], DEVICE, now).held(never), Turn(stores[1], DEVICE, now).held(never) as other:
        assert other == "a"
        # It goes on being held for longer than it lasts by itself.
        time.sleep(turn.LENGTH.total_seconds() + 0.5)
        assert stores[1].leases.read(DEVICE).until > now()
        assert stores[1].leases.read(DEVICE).holder == "a"


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(hours=5)])
def test_who_died_is_followed_also_where_its_clock_was_ahead(
    stores: list[Store], quick: None, ahead: timedelta
) -> None:
    Turn(stores[0], DEVICE, lambda: now() + ahead).take()
    with Turn(stores[1], DEVICE, now).held(never) as other:
        assert other is None
        assert stores[0].leases.read(DEVICE).holder == "b"


def test_who_is_told_to_end_waits_no_longer(stores: list[Store]) -> None:
    Turn(stores[0], DEVICE, now).take()
    with Turn(stores[1], DEVICE, now).held(lambda: True) as other:
        assert other == "a"


def test_who_was_overtaken_knows_it(stores: list[Store], quick: None) -> None:
    """As after a suspended machine woke up."""
    own = Turn(stores[0], DEVICE, now)
    with own.held(never):
        stores[1].leases.take(DEVICE, now() + timedelta(hours=1), timedelta(hours=1))
        wait_until(lambda: not own.ours)
        assert own.holder == "b"
    assert stores[0].leases.read(DEVICE).holder == "b"


def test_who_stands_by_takes_over(stores: list[Store], quick: None) -> None:
    first, second = (Turn(store, DEVICE, now) for store in stores)
    ended = threading.Event()
    first.take()
    waiting = threading.Thread(target=second.keep, args=(ended.is_set, ended.wait))
    waiting.start()
    wait_until(lambda: second.holder == "a")
    first.give_back()
    wait_until(lambda: second.ours)
    ended.set()
    waiting.join()


def test_a_locked_store_does_not_keep_it_from_ending(
    stores: list[Store], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn, "_LET_GO_WITHIN_S", 0.1)
    unlocked = threading.Event()
    own = Turn(stores[0], DEVICE, now)
    own.take()
    monkeypatch.setattr(Leases, "release", lambda *_: unlocked.wait())
    own.give_back()
    assert not own.ours
    assert stores[1].leases.read(DEVICE).holder == "a"
    unlocked.set()


def test_a_store_that_is_away_is_said_and_its_lease_is_left_to_run_out(
    stores: list[Store], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Turn(stores[0], DEVICE, now)
    with own.held(never):

        def refuse(*_: object, **__: object) -> None:
            raise StoreUnavailable("locked")

        monkeypatch.setattr(Leases, "take", refuse)
        monkeypatch.setattr(Leases, "release", refuse)
        time.sleep(3 * turn._RENEW_S)
        assert own.ours  # nobody else can have taken it
        with pytest.raises(StoreUnavailable):
            own.take()
    assert stores[1].leases.read(DEVICE).holder == "a"
