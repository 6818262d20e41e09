"""The daemon: builds every part from the configuration, keeps them running, and ends them in order.

Threads: the intake follows the traffic; the scheduler's two lanes estimate and forecast; HTTP serves. The main thread
waits for a signal. On SIGTERM or Ctrl-C the intake writes its last batch, the prompt under way gets a few seconds to
finish, and all of it is over within ten. A fault that the user must fix ends the daemon with that error.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType

from riskmon import __version__, jobs, logs
from riskmon.config import Config
from riskmon.cycles import estimate_cycle
from riskmon.errors import RiskmonError, StoreUnavailable, TrafficUnavailable, UserError, WorkerLost
from riskmon.publish import Facts, Server, build_app
from riskmon.records import CycleSummary, Forecast, Snapshot, TrafficStatus
from riskmon.reporting.deliver import CHANNELS
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Scheduler, overdue
from riskmon.sensitivity.job import sensitivity_job
from riskmon.store import Store, open_store
from riskmon.traffic import open_source
from riskmon.traffic.decode import Reason
from riskmon.traffic.source import Source
from riskmon.worker import DeviceWorker, Loss

log = logging.getLogger(__name__)

# Of the ten seconds a supervisor grants, so much may go to the prompt under way.
_LAST_PROMPT_S = 4.0
_WATCH_S = 0.2
_CATCH_UP_EVERY = timedelta(seconds=10)
# A cycle that keeps failing is tried again no more often than this.
_RETRY_CYCLE_AFTER_S = 300.0
# Longer than a flush and a broker's slowest answer together.
_INTAKE_JOIN_S = 4.0
_RETRY_TRAFFIC_S = (1.0, 2.0, 4.0, 8.0, 15.0)
_RELOAD_AFTER = timedelta(seconds=30)
_PURGE_EVERY = timedelta(hours=1)
_BACK_TEST_EVERY_S = 3600.0
_JOBS = (
    *("intake", "load", "estimate", "forecast", "back-test", "sensitivity", "purge", "catch-up", "report"),
    *CHANNELS,
)


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


class Daemon:
    """All parts of `riskmon run`.

    Args:
        config: with a traffic section.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._traffic = config.require_traffic("run")
        self._store: Store = open_store(config.store.url)
        self._worker = DeviceWorker(config, self._count_worker_loss)
        self._scheduler = Scheduler(self._count_failure, self._end_with)
        self._stopping = threading.Event()
        self._signalled = False
        self._stopped_at = float("inf")
        self._fault: UserError | None = None
        self._model_loaded = threading.Event()
        self._started_at = utc_now()
        self._last_attempt = float("-inf")
        self._sensitivity_caught_up = False
        self._reporter = Reporter(self._store, config, self._count_failure, self._stopped, self._started_at)
        self._last_back_test = float("-inf")
        self._intake = threading.Thread(target=self._keep_following, name="riskmon-intake", daemon=True)

    # ---- running

    def run(self) -> int:
        """Run until a signal; returns the exit code.

        Raises:
            UserError: a part cannot be used as configured.
        """
        with self._signals() as caught:
            publish = self._config.publish
            server = Server(
                build_app(self._snapshot, self._facts(), self._alive, self._ready, publish),
                publish.listen,
                tls=publish.tls,
                auth=publish.auth,
            )
            server.start()
            try:
                self._schedule()
                self._scheduler.start()
                self._intake.start()
                while not self._stopped():
                    time.sleep(_WATCH_S)
            finally:
                self._drain(server)
        if self._fault is not None:
            raise self._fault
        return _exit_code(caught)

    def run_once(self) -> tuple[list[Forecast], int]:
        """One whole cycle: read what is in the topic, estimate, forecast.

        Returns:
            The forecast and the exit code.

        Raises:
            RiskmonError: any part failed; nothing is retried.
        """
        with self._signals() as caught:
            try:
                self._drain_topic()
                if not self._stopped():
                    self._worker.start(self._stopped)
                    self._run_cycle()
                made = jobs.forecast(self._store, self._config, "run", utc_now())
                if made:
                    self._back_test()
            except WorkerLost:
                if not self._stopped():
                    raise
                made = []
            finally:
                self._worker.close()
                self._store.close()
        return made, _exit_code(caught)

    def stop(self) -> None:
        """Begin to end; safe to call from any thread, but not from a signal handler."""
        self._stopped_at = min(self._stopped_at, time.monotonic())
        self._stopping.set()

    def _stopped(self) -> bool:
        return self._signalled or self._stopping.is_set()

    # ---- jobs

    def _schedule(self) -> None:
        self._scheduler.once("load", "device", self._load)
        self._scheduler.at("estimate", self._config.estimate.schedule, "device", self._estimate)
        self._scheduler.at("forecast", self._config.forecast.schedule, "desk", self._forecast)
        if (schedule := self._config.sensitivity.schedule) is not None:
            self._scheduler.at("sensitivity", schedule, "device", self._sensitivity)
        self._scheduler.every(
            "purge", _PURGE_EVERY, "desk", lambda: jobs.purge(self._store, self._config, utc_now())
        )
        self._scheduler.every("catch-up", _CATCH_UP_EVERY, "desk", self._catch_up)
        if self._reporter.wanted:
            self._reporter.start()
            if self._config.report.schedule is None:
                self._scheduler.waiting("report", "desk", self._report)
            else:
                self._scheduler.at("report", self._config.report.schedule, "desk", self._report)

    def _load(self) -> None:
        try:
            info = self._worker.start(self._stopped)
        except WorkerLost as exc:
            if not self._stopped():
                log.error("the model did not load: %s; trying again in %s", exc, _RELOAD_AFTER)
                self._count_failure("load")
                self._scheduler.once("load", "device", self._load, _RELOAD_AFTER)
            return
        self._model_loaded.set()
        log.info("model loaded on %s", info.device)
        for name, difference in info.contrasts.items():
            log.info("expert %r differs from the target by %.3g nats per next token", name, difference)

    def _estimate(self) -> None:
        if not self._model_loaded.is_set():
            return  # overdue then, and caught up once the model is there
        self._last_attempt = time.monotonic()
        done = self._run_cycle()
        if done is not None and not self._stopped():
            self._scheduler.hasten("forecast")
            self._catch_up_sensitivity()

    def _run_cycle(self) -> CycleSummary | None:
        return estimate_cycle(
            self._store, self._worker, self._config, utc_now, self._stopped, self._out_of_patience
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
                utc_now,
                self._stopped,
                self._out_of_patience,
            )
        except UserError as exc:
            # A paraphrasing model that is away must not end what does without it. A deployed model that no longer
            # loads ends the daemon at the next cycle.
            log.error("sensitivity failed: %s", exc)
            self._count_failure("sensitivity")

    def _catch_up_sensitivity(self) -> None:
        """After the first cycle, bring a run forward that came due while nothing ran; the very first run is not."""
        schedule, caught_up = self._config.sensitivity.schedule, self._sensitivity_caught_up
        self._sensitivity_caught_up = True
        if schedule is None or caught_up:
            return
        last = self._store.last_sensitivity()
        if last is not None and overdue(schedule, last.finished_at, utc_now()):
            log.info("a sensitivity run is overdue and starts now")
            self._scheduler.hasten("sensitivity")

    def _forecast(self) -> None:
        made = jobs.forecast(self._store, self._config, "run", utc_now())
        if made and time.monotonic() - self._last_back_test > _BACK_TEST_EVERY_S:
            self._last_back_test = time.monotonic()
            self._scheduler.once("back-test", "desk", self._back_test)

    def _back_test(self) -> None:
        jobs.back_test(self._store, self._config, "run", utc_now())

    def _report(self) -> None:
        self._reporter.write(utc_now())

    def _catch_up(self) -> None:
        """Bring a cycle forward that came due while nothing ran, or that has never succeeded; and reports likewise."""
        now = utc_now()
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
            log.info("an estimate cycle is overdue and starts now")
            self._scheduler.hasten("estimate")

    # ---- traffic

    def _drain_topic(self) -> None:
        """Read what is in the topic at this moment."""
        source = open_source(self._traffic)
        try:
            self._follow(source, to_end=True)
        finally:
            source.close()

    def _keep_following(self) -> None:
        """Follow the traffic for the daemon's life; a broker or store that is away is tried again and again."""
        source = open_source(self._traffic)
        failures = 0
        while not self._stopped():
            started = time.monotonic()
            try:
                self._follow(source)
            except UserError as exc:
                self._end_with(exc)
            except (TrafficUnavailable, StoreUnavailable) as exc:
                failures = 0 if time.monotonic() - started > 60 else failures
                pause = _RETRY_TRAFFIC_S[min(failures, len(_RETRY_TRAFFIC_S) - 1)]
                failures += 1
                self._report_outage(exc, pause)
                self._stopping.wait(pause)
            except Exception as exc:  # noqa: BLE001 - a fault of ours must not end the counting: log, count, go on
                log.error("the intake failed: %s", logs.describe(exc))
                self._count_failure("intake")
                self._stopping.wait(_RETRY_TRAFFIC_S[-1])
        source.close()

    def _follow(self, source: Source, *, to_end: bool = False) -> None:
        since = utc_now() - self._config.forecast.lookback
        jobs.follow_traffic(source, self._store, self._traffic, since, utc_now, self._stopped, to_end=to_end)

    def _report_outage(self, exc: RiskmonError, pause: float) -> None:
        """Say on every channel why nothing is being read."""
        log.warning("%s; trying again in %.0f s", exc, pause)
        if isinstance(exc, TrafficUnavailable):
            with suppress(StoreUnavailable):  # the next failure will be the store's own, and is reported then
                self._store.write_traffic_status(
                    TrafficStatus(up=False, lag_messages=None, at=utc_now(), detail=str(exc))
                )

    # ---- what HTTP asks

    def _snapshot(self) -> Snapshot:
        return self._store.snapshot(utc_now())

    def _facts(self) -> Facts:
        return Facts.from_config(
            self._config,
            version=__version__,
            reject_reasons=tuple(Reason),
            jobs=_JOBS,
            worker_losses=tuple(Loss),
        )

    def _alive(self) -> dict[str, bool]:
        return {
            "scheduler": self._scheduler.running or self._stopped(),
            "intake": self._intake.is_alive() or self._stopped(),
        }

    def _ready(self) -> list[str]:
        reasons = [] if self._model_loaded.is_set() else ["the model is still loading"]
        try:
            status = self._store.traffic_status()
        except StoreUnavailable as exc:
            return [*reasons, str(exc)]
        if status is None or status.at < self._started_at:
            reasons.append("the traffic source has not answered yet")
        elif not status.up:
            reasons.append(status.detail or "the traffic source cannot be reached")
        if self._stopped():
            reasons.append("riskmon is stopping")
        return reasons

    # ---- ending

    def _count_failure(self, job: str) -> None:
        with suppress(StoreUnavailable):  # a store that is down shows as riskmon_store_up 0
            self._store.count_job_failure(job)

    def _count_worker_loss(self, why: Loss) -> None:
        with suppress(StoreUnavailable):
            self._store.count_worker_loss(why)

    def _end_with(self, fault: UserError) -> None:
        self._fault = self._fault or fault
        self.stop()

    def _out_of_patience(self) -> bool:
        return time.monotonic() > self._stopped_at + _LAST_PROMPT_S

    def _drain(self, server: Server) -> None:
        log.info("stopping: finishing what is under way")
        self.stop()
        if self._intake.is_alive():
            self._intake.join(_INTAKE_JOIN_S)
        self._scheduler.stop()
        self._worker.close()
        server.stop()
        self._store.close()

    @contextmanager
    def _signals(self) -> Iterator[set[int]]:
        """While inside, SIGTERM and SIGINT begin the drain; yields the set of those caught."""
        caught: set[int] = set()

        def note(number: int, _: FrameType | None) -> None:
            # Plain attributes only: an Event's lock may be held by the very code this handler interrupts.
            caught.add(number)
            self._stopped_at = min(self._stopped_at, time.monotonic())
            self._signalled = True

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield caught
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _exit_code(caught: set[int]) -> int:
    """130 after Ctrl-C; a SIGTERM is a supervisor's ordinary way to end a daemon."""
    return 128 + signal.SIGINT if signal.SIGINT in caught else 0
