import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from riskmon.errors import ConfigError, StoreUnavailable, UserError
from riskmon.scheduler import Scheduler, overdue

NOON = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
EVERY_FOUR_HOURS = "0 */4 * * *"


@pytest.mark.parametrize(
    ("last", "now", "expected"),
    [
        (None, NOON, True),
        (NOON + timedelta(minutes=5), NOON + timedelta(hours=3), False),
        (NOON + timedelta(minutes=5), NOON + timedelta(hours=4), True),
        (NOON - timedelta(minutes=5), NOON, True),
        (NOON - timedelta(days=30), NOON, True),
    ],
)
def test_overdue_means_that_a_run_came_due_since_the_last_success(last, now, expected):
    assert overdue(EVERY_FOUR_HOURS, last, now) is expected


@pytest.fixture
def failures():
    return []


@pytest.fixture
def faults():
    return []


@pytest.fixture
def scheduler(failures, faults):
    scheduler = Scheduler(failures.append, faults.append)
    yield scheduler
    scheduler.stop()


def test_a_job_runs_once_and_hastened_jobs_run_at_once(scheduler):
    once, soon = threading.Event(), threading.Event()
    scheduler.once("a", "desk", once.set)
    scheduler.at("b", "0 0 1 1 *", "desk", soon.set)
    scheduler.start()
    assert once.wait(5)
    assert not soon.is_set()
    scheduler.hasten("b")
    assert soon.wait(5)


def test_lanes_do_not_wait_for_one_another(scheduler):
    release, quick = threading.Event(), threading.Event()
    scheduler.once("long", "device", lambda: release.wait(20))
    scheduler.once("quick", "desk", quick.set)
    scheduler.start()
    assert quick.wait(5)
    release.set()


def test_a_job_that_waits_for_its_lane_is_not_dropped(scheduler, failures):
    release, second = threading.Event(), threading.Event()
    scheduler.once("long", "device", lambda: release.wait(20))
    scheduler.once("late", "device", second.set)
    scheduler.start()
    assert not second.wait(1.5)  # longer than the library's own patience of one second
    release.set()
    assert second.wait(5)
    assert failures == []


def test_a_run_that_overlaps_is_skipped_and_counted(scheduler, failures):
    release, skipped = threading.Event(), threading.Event()
    runs = []

    def job():
        runs.append(1)
        release.wait(20)

    scheduler._on_failure = lambda name: (failures.append(name), skipped.set())
    scheduler.every("busy", timedelta(seconds=0.2), "desk", job)
    scheduler.start()
    assert skipped.wait(10)
    assert failures[0] == "busy"
    assert len(runs) == 1
    release.set()


def test_a_run_that_asks_for_another_does_not_hold_up_the_stop(scheduler, failures):
    started, stopping, later = threading.Event(), threading.Event(), threading.Event()

    def asks_for_more():
        started.set()
        assert stopping.wait(10)
        time.sleep(0.3)  # by now the stop waits for this run
        scheduler.once("later", "desk", later.set)
        scheduler.hasten("later")

    scheduler.once("first", "desk", asks_for_more)
    scheduler.start()
    assert started.wait(10)
    ending = threading.Thread(target=scheduler.stop, daemon=True)
    ending.start()
    stopping.set()
    ending.join(10)
    assert not ending.is_alive()
    assert not scheduler.running
    assert not later.is_set()
    assert failures == []


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), ValueError("the text nobody may see")])
def test_a_failing_job_is_logged_and_counted_and_the_clock_goes_on(scheduler, failures, caplog, error):
    after = threading.Event()

    def fail():
        raise error

    scheduler.once("broken", "desk", fail)
    scheduler.once("next", "desk", after.set)
    scheduler.start()
    assert after.wait(5)
    assert failures == ["broken"]
    assert "broken failed" in caplog.text
    assert "the text nobody may see" not in caplog.text
    assert scheduler.running


def test_what_the_user_must_fix_is_handed_up(scheduler, faults, failures):
    fault = ConfigError("wrong")
    told = threading.Event()
    scheduler._on_fault = lambda exc: (faults.append(exc), told.set())

    def fail():
        raise fault

    scheduler.once("broken", "desk", fail)
    scheduler.start()
    assert told.wait(5)
    assert faults == [fault]
    assert isinstance(faults[0], UserError)
    assert failures == []


def test_a_clock_that_was_set_back_leaves_no_run_in_the_future(scheduler):
    """As if the clock had been an hour ahead while the runs were planned."""
    hour, ran = timedelta(hours=1), threading.Event()
    scheduler.every("often", timedelta(seconds=0.5), "desk", ran.set)
    scheduler.at("hourly", "0 * * * *", "desk", lambda: None)
    scheduler.start()
    assert ran.wait(5)
    for job in scheduler._clock.get_jobs():
        scheduler._clock.modify_job(job.id, next_run_time=job.next_run_time + hour)
    time.sleep(0.6)  # a run that was under way has ended
    ran.clear()
    assert not ran.wait(1.5)
    scheduler.plan_anew(-hour)
    assert ran.wait(5)
    due = {job.id: job.next_run_time for job in scheduler._clock.get_jobs()}
    assert timedelta(0) <= due["hourly"] - datetime.now(UTC) <= hour
    scheduler.hasten("hourly")
