"""The desk beside a device in another process: it finds new cycles in the store, and one desk at a time works."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.store_records import HOUR, NOON, batch, sampled, success, summary

from riskmon.config_file import parse_config
from riskmon.daemon.desk_jobs import DeskJobs
from riskmon.daemon.ending import Ending
from riskmon.daemon.turn import DESK, Turn
from riskmon.reporting.folder import LastReport, remember
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Scheduler
from riskmon.store import Store, open_store


class Hastened(Scheduler):
    """A clock that does not tick, and notes what it was asked to hasten."""

    def __init__(self) -> None:
        super().__init__(lambda job: None, lambda fault: None)
        self.jobs: list[str] = []

    def hasten(self, name: str) -> None:
        self.jobs.append(name)


class Desk:
    """A desk on a store, at a moment that the test sets."""

    def __init__(self, folder: Path, store: Store, *, looks_for_cycles: bool = True) -> None:
        config = parse_config(
            {
                "model": {"target": "org/model"},
                "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "x"}}],
                "traffic": {"jsonl": "traffic.jsonl"},
                "report": {"on_release": False},
                "publish": {"reports": "reports"},
            },
            base=folder,
        )
        self.now = NOON
        self.store = store
        self.scheduler = Hastened()
        self.turn = Turn(store, DESK, lambda: self.now)
        self.reporter = Reporter(store, config, lambda job: None, lambda: True, NOON)
        self.jobs = DeskJobs(
            config,
            store,
            self.scheduler,
            self.reporter,
            self.turn,
            Ending(),
            lambda: self.now,
            looks_for_cycles=looks_for_cycles,
        )
        self.turn.take()

    def run(self, name: str) -> None:
        (job,) = (job for job in self.jobs.scheduled() if job.name == name)
        job.run()

    def looks(self) -> list[str]:
        """What is hastened by looking at what is overdue."""
        self.scheduler.jobs.clear()
        self.jobs.catch_up()
        return list(self.scheduler.jobs)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        opened.write_intake(batch([sampled(1, 0.5)]), keep=9, now=NOON)
        yield opened


def estimated(store: Store, at) -> None:
    """A cycle of another process, finished at a moment."""
    cycle = store.begin_cycle(at)
    store.write_result(cycle, success(sampled(1, 0.5).prompt), at)
    store.finish_cycle(cycle, summary(at))


def test_a_cycle_in_the_store_is_forecast_from_once(tmp_path: Path, store: Store) -> None:
    desk = Desk(tmp_path, store)
    assert desk.looks() == []
    estimated(store, NOON + HOUR)
    desk.now = NOON + HOUR + timedelta(minutes=1)
    assert desk.looks() == ["forecast"]
    assert desk.looks() == []
    desk.run("forecast")
    assert store.last_forecast_at() == desk.now
    estimated(store, NOON + 2 * HOUR)
    assert desk.looks() == ["forecast"]


def test_one_that_was_forecast_from_before_a_restart_is_not_again(tmp_path: Path, store: Store) -> None:
    estimated(store, NOON)
    first = Desk(tmp_path, store)
    first.now = NOON + HOUR
    first.run("forecast")
    assert Desk(tmp_path, store).looks() == []


def test_with_a_device_of_its_own_it_does_not_look(tmp_path: Path, store: Store) -> None:
    estimated(store, NOON)
    assert Desk(tmp_path, store, looks_for_cycles=False).looks() == []


def test_a_forecast_that_came_due_while_a_dead_process_had_the_turn_is_made_up_for(
    tmp_path: Path, store: Store
) -> None:
    """As after a crash: the lease of the process before runs out some seconds after the restart."""
    desk = Desk(tmp_path, store, looks_for_cycles=False)
    desk.turn.give_back()
    with open_store(f"sqlite:///{tmp_path}/risk.db") as before:
        before.process = "before"
        Turn(before, DESK, lambda: NOON).take()
    estimated(store, NOON)
    desk.run("forecast")
    assert (desk.looks(), store.last_forecast_at()) == ([], None)
    desk.now = NOON + timedelta(minutes=1)
    desk.turn.take()
    assert desk.looks() == ["forecast"]
    assert desk.looks() == []


def test_reports_of_the_desk_before_are_known_from_the_folder(tmp_path: Path, store: Store) -> None:
    second = Desk(tmp_path, store)
    second.turn.give_back()
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        opened.process = "first"
        first = Turn(opened, DESK, lambda: NOON)
        first.take()
        second.turn.take()
        second.looks()
        (tmp_path / "reports").mkdir()
        remember(tmp_path / "reports", LastReport(NOON, "0123456789abcdef"))
        first.give_back()
    second.turn.take()
    second.looks()
    assert second.reporter._last == LastReport(NOON, "0123456789abcdef")


def test_a_second_desk_does_nothing_and_says_once_who_does(
    tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Desk(tmp_path, store)
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        opened.process = "other"
        second = Desk(tmp_path, opened)
        estimated(store, NOON)
        assert second.looks() == second.looks() == []
        second.run("forecast")
        assert store.last_forecast_at() is None
        told = [record.message for record in caplog.records if "forecasts and reports" in record.message]
        assert len(told) == 1
        assert told[0].startswith(store.process)
        # The first one falls silent.
        second.now = NOON + timedelta(minutes=1)
        second.turn.take()
        assert second.looks() == ["forecast"]  # for the cycle, and for the run that was left to the first one
        assert "forecasts and reports now" in caplog.text
        assert second.looks() == []
        second.run("forecast")
        assert store.last_forecast_at() == second.now
