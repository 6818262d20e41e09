"""When each job of the daemon runs: by crontab, after another, or because it is overdue.

The jobs themselves are those of the parts that the role of the process has: `device_jobs` and `desk_jobs`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from riskmon.config import Config
from riskmon.reporting.deliver import CHANNELS
from riskmon.scheduler import Scheduled, Scheduler

JOBS = (
    *(
        "intake",
        "load",
        "estimate",
        "forecast",
        "back-test",
        "sensitivity",
        "strata",
        "purge",
        "catch-up",
        "report",
        "scorer",
    ),
    *CHANNELS,
)
"""Names under which failures are counted."""

_CATCH_UP_EVERY = timedelta(seconds=10)


class Part(Protocol):
    """The jobs of one part of the daemon."""

    def begin(self) -> None:
        """Give the scheduler what runs without a crontab."""

    def scheduled(self) -> Iterator[Scheduled]:
        """What runs by crontab, under the configuration in force."""

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded."""

    def catch_up(self) -> None:
        """Bring forward what is overdue."""


class Timetable:
    """The jobs of one daemon in its scheduler.

    Args:
        scheduler: not yet started.
        parts: whose jobs they are.
    """

    def __init__(self, scheduler: Scheduler, parts: Sequence[Part]) -> None:
        self._scheduler = scheduler
        self._parts = parts
        self._crontabs: dict[str, str | None] = {}

    def fill(self) -> None:
        """Give the scheduler every job that the configuration asks for."""
        for part in self._parts:
            part.begin()
        if self._parts:
            self._scheduler.every("catch-up", _CATCH_UP_EVERY, "desk", self._catch_up)
        self._schedule()

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded: crontabs at once, all others with the next run of a job."""
        for part in self._parts:
            part.configure(config)
        self._schedule()

    def _schedule(self) -> None:
        """Bring the crontabs in force; a job whose crontab stays keeps its next run."""
        wanted = {job.name: job for part in self._parts for job in part.scheduled()}
        for name in self._crontabs.keys() - wanted.keys():
            self._scheduler.remove(name)
        for name, job in wanted.items():
            if name not in self._crontabs or self._crontabs[name] != job.crontab:
                self._scheduler.place(job)
        self._crontabs = {name: job.crontab for name, job in wanted.items()}

    def _catch_up(self) -> None:
        for part in self._parts:
            part.catch_up()
