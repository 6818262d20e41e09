"""The jobs of the daemon, and when each runs: by schedule, after another, or because it is overdue.

Jobs that need the device wait for the model to load. What succeeded is read from the store, so that a run that came
due while nothing ran is brought forward.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from riskmon import jobs
from riskmon.config import Config
from riskmon.cycles import estimate_cycle
from riskmon.daemon.ending import Ending
from riskmon.errors import RiskmonError, UserError, WorkerLost
from riskmon.records import CycleSummary, Forecast
from riskmon.reporting.deliver import CHANNELS
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Lane, Scheduler, overdue
from riskmon.sensitivity.job import sensitivity_job
from riskmon.store import Store
from riskmon.worker import DeviceWorker

log = logging.getLogger(__name__)

JOBS = (
    *(
        "intake",
        "load",
        "estimate",
        "forecast",
        "back-test",
        "sensitivity",
        "purge",
        "catch-up",
        "report",
        "scorer",
    ),
    *CHANNELS,
)
"""Names under which failures are counted."""

_CATCH_UP_EVERY = timedelta(seconds=10)
# A cycle that keeps failing is tried again no more often than this.
_RETRY_CYCLE_AFTER_S = 300.0
_RELOAD_AFTER = timedelta(seconds=30)
_PURGE_EVERY = timedelta(hours=1)
_BACK_TEST_EVERY_S = 3600.0


class Timetable:
    """The jobs of one daemon.

    Args:
        config: with a traffic section.
        worker: started by the job that loads the model.
        scheduler: not yet started.
        count_failure: told the name of a job that failed.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        worker: DeviceWorker,
        scheduler: Scheduler,
        reporter: Reporter,
        ending: Ending,
        clock: jobs.Clock,
        count_failure: Callable[[str], None],
    ) -> None:
        self._config = config
        self._store = store
        self._worker = worker
        self._scheduler = scheduler
        self._reporter = reporter
        self._ending = ending
        self._clock = clock
        self._count_failure = count_failure
        self._model_loaded = threading.Event()
        self._was_loaded = False
        self._last_attempt = float("-inf")
        self._sensitivity_caught_up = False
        self._last_back_test = float("-inf")
        self._schedules: dict[str, str | None] = {}
        self._scheduled_jobs: dict[str, tuple[Lane, Callable[[], None]]] = {
            "estimate": ("device", self._estimate),
            "forecast": ("desk", self._forecast),
            "sensitivity": ("device", self._sensitivity),
            "report": ("desk", self._report),
            "scorer": ("desk", self._train_scorer),
        }

    @property
    def model_loaded(self) -> bool:
        """Whether the worker can estimate."""
        return self._model_loaded.is_set()

    def fill(self) -> None:
        """Give the scheduler every job that the configuration asks for."""
        self._scheduler.once("load", "device", self._load)
        self._scheduler.every(
            "purge", _PURGE_EVERY, "desk", lambda: jobs.purge(self._store, self._config, self._clock())
        )
        self._scheduler.every("catch-up", _CATCH_UP_EVERY, "desk", self._catch_up)
        self._schedule()

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded: schedules at once, all others with the next run of a job."""
        self._config = config
        self._schedule()

    def _schedule(self) -> None:
        """Bring the crontabs in force; a job whose crontab stays keeps its next run."""
        wanted = self._wanted_schedules()
        for name in self._schedules.keys() - wanted.keys():
            self._scheduler.remove(name)
        for name, crontab in wanted.items():
            if name not in self._schedules or self._schedules[name] != crontab:
                self._place(name, crontab)
        self._schedules = wanted

    def _wanted_schedules(self) -> dict[str, str | None]:
        """By job, its crontab; None for one that runs only when it is hastened."""
        config = self._config
        wanted: dict[str, str | None] = {
            "estimate": config.estimate.schedule,
            "forecast": config.forecast.schedule,
        }
        if config.sensitivity.schedule is not None:
            wanted["sensitivity"] = config.sensitivity.schedule
        if config.require_traffic("run").sampling.trains:
            wanted["scorer"] = config.require_traffic("run").sampling.retrain
        if self._reporter.wanted:
            self._reporter.start()
            wanted["report"] = config.report.schedule
        return wanted

    def _place(self, name: str, crontab: str | None) -> None:
        lane, job = self._scheduled_jobs[name]
        if crontab is None:
            self._scheduler.waiting(name, lane, job)
        else:
            self._scheduler.at(name, crontab, lane, job)

    def once(self) -> list[Forecast]:
        """Load, estimate, forecast and back-test, one after another and without the scheduler.

        Returns:
            The forecast; no cycle precedes it where the daemon is ending already.

        Raises:
            RiskmonError: any job failed; nothing is retried.
        """
        if not self._ending.begun():
            self._worker.start(self._ending.begun)
            self._run_cycle()
        made = jobs.forecast(self._store, self._config, "run", self._clock())
        if made:
            self._back_test()
        return made

    def _load(self) -> None:
        try:
            info = self._worker.start(self._ending.begun)
        except WorkerLost as exc:
            self._load_later(exc)
            return
        except UserError as exc:
            if not self._was_loaded:
                raise
            self._load_later(exc)
            return
        self._was_loaded = True
        self._model_loaded.set()
        log.info("model loaded on %s", info.device, extra={"device": info.device})
        for name, difference in info.contrasts.items():
            log.info(
                "expert %r differs from the target by %.3g nats per next token",
                *(name, difference),
                extra={"expert": name, "nats": difference},
            )

    def _load_later(self, why: RiskmonError) -> None:
        """Without the model the daemon goes on: it counts, and forecasts from the estimates it has."""
        self._model_loaded.clear()
        if not self._ending.begun():
            log.error(
                "the model did not load: %s; trying again in %s",
                *(why, _RELOAD_AFTER),
                extra={"job": "load", "retry_seconds": _RELOAD_AFTER.total_seconds()},
            )
            self._count_failure("load")
            self._scheduler.once("load", "device", self._load, _RELOAD_AFTER)

    def _estimate(self) -> None:
        if not self._model_loaded.is_set():
            return  # overdue then, and caught up once the model is there
        self._last_attempt = time.monotonic()
        try:
            done = self._run_cycle()
        except UserError as exc:
            # A model that has served was configured well: its folder or device is away, and may come back.
            self._load_later(exc)
            return
        if done is not None and not self._ending.begun():
            self._scheduler.hasten("forecast")
            self._catch_up_sensitivity()

    def _run_cycle(self) -> CycleSummary | None:
        return estimate_cycle(
            self._store,
            self._worker,
            self._config,
            self._clock,
            self._ending.begun,
            self._ending.out_of_patience,
        )

    def _sensitivity(self) -> None:
        if not self._model_loaded.is_set():
            return
        try:
            sensitivity_job(
                self._store,
                self._worker,
                self._config,
                self._config.sensitivity,
                self._clock,
                self._ending.begun,
                self._ending.out_of_patience,
            )
        except UserError as exc:
            # A paraphrasing model that is away must not end what does without it. A deployed model that no longer
            # loads is waited for at the next cycle.
            log.error("sensitivity failed: %s", exc, extra={"job": "sensitivity"})
            self._count_failure("sensitivity")

    def _catch_up_sensitivity(self) -> None:
        """After the first cycle, bring a run forward that came due while nothing ran; the very first run is not."""
        schedule, caught_up = self._config.sensitivity.schedule, self._sensitivity_caught_up
        self._sensitivity_caught_up = True
        if schedule is None or caught_up:
            return
        last = self._store.last_sensitivity()
        if last is not None and overdue(schedule, last.finished_at, self._clock()):
            log.info("a sensitivity run is overdue and starts now", extra={"job": "sensitivity"})
            self._scheduler.hasten("sensitivity")

    def _forecast(self) -> None:
        made = jobs.forecast(self._store, self._config, "run", self._clock())
        if made and time.monotonic() - self._last_back_test > _BACK_TEST_EVERY_S:
            self._last_back_test = time.monotonic()
            self._scheduler.once("back-test", "desk", self._back_test)

    def _back_test(self) -> None:
        jobs.back_test(self._store, self._config, "run", self._clock())

    def _train_scorer(self) -> None:
        jobs.train_scorer(self._store, self._config, "run", self._clock())

    def _report(self) -> None:
        self._reporter.write(self._clock())

    def _catch_up(self) -> None:
        """Bring a cycle forward that came due while nothing ran, or that has never succeeded; and reports likewise."""
        now = self._clock()
        last = self._store.last_complete_cycle()
        if self._reporter.wanted and self._reporter.due(now, last, self._store.last_forecast_at()):
            self._scheduler.hasten("report")
        if (
            self._model_loaded.is_set()
            and time.monotonic() - self._last_attempt > _RETRY_CYCLE_AFTER_S
            and overdue(self._config.estimate.schedule, last.finished_at if last else None, now)
            and self._store.pending_prompts(now - self._config.forecast.lookback, 1)
        ):
            self._last_attempt = time.monotonic()
            log.info("an estimate cycle is overdue and starts now", extra={"job": "estimate"})
            self._scheduler.hasten("estimate")
