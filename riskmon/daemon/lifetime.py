"""From start to end: builds every part from the configuration, keeps them running, and ends them in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from riskmon import __version__, logs
from riskmon.clock_steps import ClockSteps
from riskmon.config import Config
from riskmon.daemon.ending import Ending, exit_code
from riskmon.daemon.following import Following
from riskmon.daemon.health import Health
from riskmon.daemon.reloading import Reloading
from riskmon.daemon.timetable import JOBS, Timetable
from riskmon.errors import StoreUnavailable, WorkerLost
from riskmon.publish import Facts, Server, build_app
from riskmon.records import Forecast, Snapshot
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Scheduler
from riskmon.store import Store, open_store
from riskmon.traffic.decode import Reason
from riskmon.worker import DeviceWorker, Loss

log = logging.getLogger(__name__)

_WATCH_S = 0.2


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


class Daemon:
    """All parts of `riskmon run`.

    Args:
        config: with a traffic section.
        reread: reads the configuration again, when SIGHUP asks for it.
    """

    def __init__(self, config: Config, reread: Callable[[], Config]) -> None:
        traffic = config.require_traffic("run")
        self._reloading = Reloading(config, reread, utc_now)
        self._ending = ending = Ending()
        self._store: Store = open_store(config.store)
        self._worker = DeviceWorker(config, self._count_worker_loss)
        self._scheduler = Scheduler(self._count_failure, ending.begin_with)
        started_at = utc_now()
        self._reporter = Reporter(self._store, config, self._count_failure, ending.begun, started_at)
        self._timetable = Timetable(
            config,
            self._store,
            self._worker,
            self._scheduler,
            self._reporter,
            ending,
            utc_now,
            self._count_failure,
        )
        self._following = Following(
            traffic, config.forecast.lookback, self._store, ending, utc_now, self._count_failure
        )
        self._health = Health(
            self._store, self._scheduler, self._timetable, self._following, ending, started_at
        )

    def run(self) -> int:
        """Run until a signal; returns the exit code.

        Raises:
            UserError: a part cannot be used as configured.
        """
        with self._ending.signals() as caught, self._reloading.signals():
            publish = self._reloading.config.publish
            server = Server(
                build_app(self._snapshot, self._facts, self._health.alive, self._health.ready, publish),
                publish.listen,
                tls=publish.tls,
                auth=publish.auth,
            )
            server.start()
            try:
                self._timetable.fill()
                self._scheduler.start()
                self._following.start()
                steps = ClockSteps()
                while not self._ending.begun():
                    if self._reloading.terminal_closed:
                        self._ending.begin()
                    self._reloading.look(self._take_over)
                    time.sleep(_WATCH_S)
                    self._heed_clock(steps.take())
            finally:
                self._drain(server)
        if self._ending.fault is not None:
            raise self._ending.fault
        return exit_code(caught)

    def run_once(self) -> tuple[list[Forecast], int]:
        """One whole cycle: read what is in the topic, estimate, forecast.

        Returns:
            The forecast and the exit code.

        Raises:
            RiskmonError: any part failed; nothing is retried.
        """
        with self._ending.signals() as caught:
            try:
                self._following.drain()
                made = self._timetable.once()
            except WorkerLost:
                if not self._ending.begun():
                    raise
                made = []
            finally:
                self._worker.close()
                self._store.close()
        return made, exit_code(caught)

    def _drain(self, server: Server) -> None:
        log.info("stopping: finishing what is under way")
        self._ending.begin()
        self._following.join()
        self._scheduler.stop()
        self._worker.close()
        server.stop()
        self._store.close()

    def _take_over(self, config: Config) -> None:
        """Tell every part that a reload concerns; the order is free, since a job reads its settings when it begins."""
        logs.configure(config.logging)
        self._worker.configure(config)
        self._following.configure(config.forecast.lookback)
        self._reporter.configure(config)
        self._timetable.configure(config)

    def _heed_clock(self, step: timedelta) -> None:
        if not step:
            return
        log.warning(
            "the system clock was set %s by %.0f s",
            "forward" if step > timedelta(0) else "back",
            abs(step.total_seconds()),
        )
        if step < timedelta(0):
            self._scheduler.plan_anew(step)

    def _snapshot(self) -> Snapshot:
        return self._store.snapshot(utc_now())

    def _facts(self) -> Facts:
        return Facts.from_config(
            self._reloading.config,
            version=__version__,
            reject_reasons=tuple(Reason),
            jobs=JOBS,
            worker_losses=tuple(Loss),
            state=self._reloading.state,
        )

    def _count_failure(self, job: str) -> None:
        with suppress(StoreUnavailable):  # a store that is down shows as riskmon_store_up 0
            self._store.count_job_failure(job)

    def _count_worker_loss(self, why: Loss) -> None:
        with suppress(StoreUnavailable):
            self._store.count_worker_loss(why)
