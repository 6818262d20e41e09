"""Crontabs of a running timetable follow the configuration; a job whose crontab stays keeps its next run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from riskmon.config_file import parse_config
from riskmon.daemon.desk_jobs import DeskJobs
from riskmon.daemon.device_jobs import DeviceJobs
from riskmon.daemon.ending import Ending
from riskmon.daemon.timetable import Timetable
from riskmon.daemon.turn import DESK, DEVICE, Turn
from riskmon.devices.process import DeviceWorker
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Scheduler
from riskmon.store import open_store


def settings(folder: Path, **sections):
    data = {
        "model": {"target": "org/model"},
        "judge": {"kind": "regex", "pattern": "x"},
        "traffic": {"jsonl": "traffic.jsonl"},
        "report": {"on_release": False},
    }
    return parse_config(data | sections, base=folder)


class Running:
    """A timetable over a clock that ticks, with all that a reload tells."""

    def __init__(self, folder, store):
        config = settings(folder)
        now = datetime.now(UTC)
        self.folder = folder
        self.scheduler = Scheduler(lambda job: None, lambda fault: None)
        self.reporter = Reporter(store, config, lambda job: None, lambda: True, now)
        self.ending = Ending()
        device = DeviceJobs(
            config,
            store,
            DeviceWorker(config),
            self.scheduler,
            Turn(store, DEVICE, lambda: now),
            self.ending,
            lambda: now,
            lambda job: None,
        )
        self.desk = DeskJobs(
            config,
            store,
            self.scheduler,
            self.reporter,
            Turn(store, DESK, lambda: now),
            self.ending,
            lambda: now,
        )
        self.timetable = Timetable(self.scheduler, [device, self.desk])
        self.timetable.fill()
        self.scheduler.remove("load")  # there is no model here

    def reload(self, **sections):
        config = settings(self.folder, **sections)
        self.reporter.configure(config)
        self.timetable.configure(config)

    def jobs(self):
        """By job, the fields of its crontab that are set, and its next run."""
        return {
            job.id: (tuple(str(field) for field in getattr(job.trigger, "fields", ())), job.next_run_time)
            for job in self.scheduler._clock.get_jobs()
        }


@pytest.fixture
def running(tmp_path):
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        running = Running(tmp_path, store)
        running.scheduler.start()
        yield running
        running.ending.begin()
        running.scheduler.stop()
        running.desk.close()


def test_a_changed_crontab_moves_the_next_run_and_the_others_stay(running):
    before = running.jobs()
    assert set(before) == {"estimate", "forecast", "sensitivity", "strata", "purge", "catch-up"}
    running.reload(estimate={"schedule": "7 11 29 2 *"})
    after = running.jobs()
    assert (after["estimate"][1].month, after["estimate"][1].minute) == (2, 7)
    assert {name: job for name, job in after.items() if name != "estimate"} == {
        name: job for name, job in before.items() if name != "estimate"
    }


def test_jobs_come_and_go_with_their_schedules(running):
    running.reload(sensitivity={"schedule": None})
    assert "sensitivity" not in running.jobs()
    running.scheduler.hasten("sensitivity")  # a job under way may still ask for it
    running.reload(
        sensitivity={"schedule": "5 5 * * *"},
        report={"on_release": False, "webhook": {"url": "http://127.0.0.1:1/"}},
    )
    jobs = running.jobs()
    assert jobs["sensitivity"][1].strftime("%H:%M") == "05:05"
    assert jobs["report"][1].strftime("%H:%M") == "06:00"
    running.reload()
    assert set(running.jobs()) == {"estimate", "forecast", "sensitivity", "strata", "purge", "catch-up"}
