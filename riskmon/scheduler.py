"""The clock: APScheduler tells when, and two lanes of one thread each do the work.

The `device` lane loads the model, runs estimate cycles and the sensitivity job; the `desk` lane forecasts, purges and
looks whether a cycle is overdue, so that forecasts stay fresh while a cycle takes its hours. Jobs are kept in memory
only: the truth about what succeeded is in the store, and an overdue cycle is found there after any downtime.

A run that comes due while its predecessor still works is skipped and counted, never queued twice; a run that waits
for its lane is never dropped for being late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobEvent
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from riskmon import logs
from riskmon.errors import RiskmonError, UserError

log = logging.getLogger(__name__)

Lane = Literal["device", "desk"]


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job and when it runs.

    Attributes:
        crontab: in UTC; None for one that runs only when it is hastened.
        lane: where it runs.
    """

    name: str
    crontab: str | None
    lane: Lane
    run: Callable[[], object]


class Scheduler:
    """Runs named jobs by crontab or interval, and counts what goes wrong.

    Args:
        on_failure: told the job's name when it fails, or when a run is skipped.
        on_fault: told an error that the user must fix; the daemon then ends.
    """

    def __init__(self, on_failure: Callable[[str], None], on_fault: Callable[[UserError], None]) -> None:
        self._on_failure = on_failure
        self._on_fault = on_fault
        self._lanes = {"device": ThreadPoolExecutor(1), "desk": ThreadPoolExecutor(1)}
        self._clock = BackgroundScheduler(
            timezone=UTC,
            executors=self._lanes,
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._clock.add_listener(self._skipped, EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED)

    @property
    def running(self) -> bool:
        """Whether the clock ticks."""
        return bool(self._clock.running)

    def place(self, job: Scheduled) -> None:
        """Run a job by its crontab; one without runs only when it is hastened."""
        if job.crontab is None:
            self.waiting(job.name, job.lane, job.run)
        else:
            self.at(job.name, job.crontab, job.lane, job.run)

    def at(self, name: str, crontab: str, lane: Lane, job: Callable[[], object]) -> None:
        """Run a job by crontab, in UTC."""
        self._add(name, lane, job, trigger=CronTrigger.from_crontab(crontab, timezone=UTC))

    def every(self, name: str, period: timedelta, lane: Lane, job: Callable[[], object]) -> None:
        """Run a job at a fixed period, first after one period."""
        self._add(name, lane, job, trigger=IntervalTrigger(seconds=period.total_seconds(), timezone=UTC))

    def once(self, name: str, lane: Lane, job: Callable[[], object], delay: timedelta = timedelta(0)) -> None:
        """Run a job a single time, as soon as its lane is free after the delay."""
        # A run that uses up its trigger makes the library remove the job, which fails in its thread when that meets a
        # shutdown. A trigger of a hundred years is never used up.
        self._add(
            name, lane, job, trigger=IntervalTrigger(days=36_500), next_run_time=datetime.now(UTC) + delay
        )

    def waiting(self, name: str, lane: Lane, job: Callable[[], object]) -> None:
        """Keep a job ready that runs only when it is hastened."""
        self._add(name, lane, job, trigger=IntervalTrigger(days=36_500))

    def remove(self, name: str) -> None:
        """Run a job no more; a run under way is finished."""
        with suppress(JobLookupError):
            self._clock.remove_job(name)

    def hasten(self, name: str) -> None:
        """Bring a job's next run forward to now; its schedule stays. Nothing for a job that was removed."""
        with suppress(JobLookupError):
            self._clock.modify_job(name, next_run_time=datetime.now(UTC))

    def plan_anew(self, step: timedelta) -> None:
        """After the wall clock was set: crontabs go by it, and whatever else waits has as long to wait as before.

        Args:
            step: how far the clock was set, negative where it went back.
        """
        now = datetime.now(UTC)
        for job in self._clock.get_jobs():
            if isinstance(job.trigger, CronTrigger):
                due = job.trigger.get_next_fire_time(None, now)
            else:
                due = job.next_run_time + step
            self._clock.modify_job(job.id, next_run_time=due)

    def start(self) -> None:
        """Begin to tick."""
        self._clock.start()

    def stop(self) -> None:
        """Start no further run, and wait for those under way."""
        if not self._clock.running:
            return
        self._clock.pause()
        # The library waits with its locks held, and a run under way that adds or hastens a job would wait for them.
        for lane in self._lanes.values():
            lane.shutdown(wait=True)
        self._clock.shutdown(wait=False)

    def _add(self, name: str, lane: Lane, job: Callable[[], object], **timing: Any) -> None:
        self._clock.add_job(
            self._guarded, id=name, executor=lane, args=(name, job), replace_existing=True, **timing
        )

    def _guarded(self, name: str, job: Callable[[], object]) -> None:
        try:
            job()
        except UserError as exc:
            self._on_fault(exc)
        except RiskmonError as exc:
            log.error("%s failed: %s", name, exc, extra={"job": name})
            self._on_failure(name)
        except Exception as exc:  # noqa: BLE001 - a job's fault must not end the daemon: log, count, go on
            log.error("%s failed: %s", name, logs.describe(exc), extra={"job": name})
            self._on_failure(name)

    def _skipped(self, event: JobEvent) -> None:
        log.warning("%s skipped: its last run still works", event.job_id, extra={"job": event.job_id})
        self._on_failure(event.job_id)


def overdue(crontab: str, last_success: datetime | None, now: datetime) -> bool:
    """Whether a run has come due since the last success; always before the first one."""
    if last_success is None:
        return True
    due = CronTrigger.from_crontab(crontab, timezone=UTC).get_next_fire_time(None, last_success)
    return due is not None and due <= now
