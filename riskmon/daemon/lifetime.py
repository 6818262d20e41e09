"""From start to end: builds the parts that the role has, keeps them running, and ends them in order."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from riskmon import __version__, logs
from riskmon.clock_steps import ClockSteps
from riskmon.config import Config
from riskmon.config.publish import PublishConfig
from riskmon.daemon.desk_jobs import DeskJobs
from riskmon.daemon.device_jobs import DeviceJobs
from riskmon.daemon.ending import Ending, exit_code
from riskmon.daemon.following import Following
from riskmon.daemon.health import Health
from riskmon.daemon.reloading import Reloading
from riskmon.daemon.timetable import JOBS, Part, Timetable
from riskmon.daemon.turn import DESK, DEVICE, Turn
from riskmon.devices.base import Devices, Loss
from riskmon.devices.opening import open_devices
from riskmon.errors import StoreUnavailable, WorkerLost
from riskmon.publish import Facts, Server, build_app, build_role_app
from riskmon.records import Forecast, Role, Snapshot
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Scheduler
from riskmon.store import Store, open_store
from riskmon.traffic.decode import Reason

log = logging.getLogger(__name__)

_WATCH_S = 0.2


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


class Daemon:
    """All parts of `riskmon run` that a role has.

    Args:
        config: with a traffic section.
        reread: reads the configuration again, when SIGHUP asks for it.
        role: what of the whole it does.
    """

    def __init__(self, config: Config, reread: Callable[[], Config], role: Role = Role.ALL) -> None:
        config.require_traffic("run")
        self._role = role
        self._reloading = Reloading(config, reread, utc_now)
        self._ending = ending = Ending()
        self._store: Store = open_store(config.store)
        self._scheduler = Scheduler(self._count_failure, ending.begin_with)
        self._started_at = utc_now()
        self._worker = open_devices(config, self._count_worker_loss) if role.estimates else None
        self._device = None if self._worker is None else self._device_jobs(config, self._worker)
        self._reporter = self._make_reporter(config) if role.publishes else None
        self._desk = None if self._reporter is None else self._desk_jobs(config, self._reporter)
        self._following = self._make_following(config) if role.reads else None
        parts: list[Part] = [part for part in (self._device, self._desk) if part is not None]
        self._timetable = Timetable(self._scheduler, parts)
        self._health = Health(
            self._store,
            self._scheduler if parts else None,
            self._device,
            self._following,
            ending,
            self._started_at,
        )

    def run(self) -> int:
        """Run until a signal; returns the exit code.

        Raises:
            UserError: a part cannot be used as configured.
        """
        with self._ending.signals() as caught, self._reloading.signals():
            server = self._server(self._reloading.config.publish)
            server.start()
            try:
                self._start()
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
        """What the role does of one whole cycle: read what is in the topic, estimate, forecast.

        Returns:
            The forecast, where the role makes one, and the exit code.

        Raises:
            RiskmonError: any part failed; nothing is retried.
        """
        made: list[Forecast] = []
        with self._ending.signals() as caught:
            try:
                if self._following is not None:
                    self._following.drain()
                if self._device is not None and not self._ending.begun():
                    self._device.once(only_if_due=self._role is Role.ESTIMATE)
                if self._desk is not None:
                    made = self._desk.once()
            except WorkerLost:
                if not self._ending.begun():
                    raise
            finally:
                self._close()
        return made, exit_code(caught)

    # ---- parts

    def _device_jobs(self, config: Config, worker: Devices) -> DeviceJobs:
        turn = Turn(self._store, DEVICE, utc_now)
        return DeviceJobs(
            config, self._store, worker, self._scheduler, turn, self._ending, utc_now, self._count_failure
        )

    def _make_reporter(self, config: Config) -> Reporter:
        return Reporter(self._store, config, self._count_failure, self._ending.begun, self._started_at)

    def _desk_jobs(self, config: Config, reporter: Reporter) -> DeskJobs:
        turn = Turn(self._store, DESK, utc_now)
        return DeskJobs(
            config,
            self._store,
            self._scheduler,
            reporter,
            turn,
            self._ending,
            utc_now,
            looks_for_cycles=self._device is None,
        )

    def _make_following(self, config: Config) -> Following:
        return Following(
            config.require_traffic("run"),
            config.forecast.lookback,
            self._store,
            self._ending,
            utc_now,
            self._count_failure,
        )

    def _server(self, publish: PublishConfig) -> Server:
        """The page and all it stands for; for the other roles their probes and what they know of themselves."""
        if self._role.publishes:
            app = build_app(self._snapshot, self._facts, self._health.alive, self._health.ready, publish)
        else:
            # The intake writes all the time, so a write that is late is a fault; an estimate rests between its cycles.
            written_at = self._written_at if self._role.reads else None
            app = build_role_app(self._facts, written_at, self._health.alive, self._health.ready, publish)
        return Server(app, publish.listen, tls=publish.tls, auth=publish.auth)

    # ---- start and end

    def _start(self) -> None:
        self._timetable.fill()
        if self._device is not None or self._desk is not None:
            self._scheduler.start()
        if self._following is not None:
            self._following.start()

    def _drain(self, server: Server) -> None:
        log.info("stopping: finishing what is under way")
        self._ending.begin()
        if self._following is not None:
            self._following.join()
        self._scheduler.stop()
        server.stop()
        self._close()

    def _close(self) -> None:
        if self._worker is not None:
            self._worker.close()
        if self._desk is not None:
            self._desk.close()
        self._store.close()

    def _take_over(self, config: Config) -> None:
        """Tell every part that a reload concerns; the order is free, since a job reads its settings when it begins."""
        logs.configure(config.logging)
        if self._worker is not None:
            self._worker.configure(config)
        if self._following is not None:
            self._following.configure(config.forecast.lookback)
        if self._reporter is not None:
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

    def _written_at(self) -> datetime:
        return self._store.written_at

    def _facts(self) -> Facts:
        return Facts.from_config(
            self._reloading.config,
            version=__version__,
            reject_reasons=tuple(Reason),
            jobs=JOBS,
            worker_losses=tuple(Loss),
            state=self._reloading.state,
            role=self._role,
        )

    def _count_failure(self, job: str) -> None:
        with suppress(StoreUnavailable):  # a store that is down shows as riskmon_store_up 0
            self._store.count_job_failure(job)

    def _count_worker_loss(self, why: Loss) -> None:
        with suppress(StoreUnavailable):
            self._store.count_worker_loss(why)
