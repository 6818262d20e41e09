"""The jobs at the device: loading the model, estimate cycles, the sensitivity job.

They wait for the model to load, and for the turn where another process estimates on the same store. What succeeded is
read from the store, so that a run that came due while nothing ran is brought forward.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from riskmon import jobs
from riskmon.config import Config
from riskmon.cycles import estimate_cycle
from riskmon.daemon.ending import Ending
from riskmon.daemon.turn import Turn
from riskmon.devices.base import Devices
from riskmon.errors import RiskmonError, UserError, WorkerLost
from riskmon.records import CycleSummary
from riskmon.scheduler import Scheduled, Scheduler, overdue
from riskmon.sensitivity.job import sensitivity_job
from riskmon.store import Store

log = logging.getLogger(__name__)

# A cycle that keeps failing is tried again no more often than this.
_RETRY_CYCLE_AFTER_S = 300.0
_RELOAD_AFTER = timedelta(seconds=30)


class DeviceJobs:
    """The jobs of one daemon at its device.

    Args:
        worker: started by the job that loads the model.
        scheduler: not yet started.
        turn: at the device.
        count_failure: told the name of a job that failed.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        worker: Devices,
        scheduler: Scheduler,
        turn: Turn,
        ending: Ending,
        clock: jobs.Clock,
        count_failure: Callable[[str], None],
    ) -> None:
        self._config = config
        self._store = store
        self._worker = worker
        self._scheduler = scheduler
        self._turn = turn
        self._ending = ending
        self._clock = clock
        self._count_failure = count_failure
        self._model_loaded = threading.Event()
        self._was_loaded = False
        self._last_attempt = float("-inf")
        self._sensitivity_caught_up = False

    @property
    def model_loaded(self) -> bool:
        """Whether the worker can estimate."""
        return self._model_loaded.is_set()

    def begin(self) -> None:
        """Give the scheduler what runs without a crontab."""
        self._scheduler.once("load", "device", self._load)

    def scheduled(self) -> Iterator[Scheduled]:
        """What runs by crontab."""
        yield Scheduled("estimate", self._config.estimate.schedule, "device", self._estimate)
        if self._config.sensitivity.schedule is not None:
            yield Scheduled("sensitivity", self._config.sensitivity.schedule, "device", self._sensitivity)

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded, with the next run of a job."""
        self._config = config

    def catch_up(self) -> None:
        """Bring a cycle forward that came due while nothing ran, or that has never succeeded."""
        now = self._clock()
        last = self._store.last_complete_cycle()
        if (
            self._model_loaded.is_set()
            and time.monotonic() - self._last_attempt > _RETRY_CYCLE_AFTER_S
            and overdue(self._config.estimate.schedule, last.finished_at if last else None, now)
            and self._prompts_wait()
        ):
            self._last_attempt = time.monotonic()
            log.info("an estimate cycle is overdue and starts now", extra={"job": "estimate"})
            self._scheduler.hasten("estimate")

    def once(self, *, only_if_due: bool) -> None:
        """Load the model and run a cycle, without the scheduler.

        Args:
            only_if_due: whether the device is left alone where no prompt waits; and an overdue run of the sensitivity
                job follows, since nothing else would run it.

        Raises:
            WorkerLost: the cycle was broken off, with `only_if_due`.
            RiskmonError: it failed otherwise; nothing is retried.
        """
        with self._turn.held(self._ending.begun) as other:
            if other is not None:
                _tell_other(other)
            elif not only_if_due:
                self._worker.start(self._ending.begun)
                self._cycle()
            else:
                self._once_if_due()

    def _once_if_due(self) -> None:
        if self._prompts_wait():
            self._worker.start(self._ending.begun)
            done = self._cycle()
            if done is not None and not done.complete and not self._ending.begun():
                raise WorkerLost("the estimate cycle was broken off; what was estimated until then is kept")
        else:
            log.info("no prompt waits for an estimate", extra={"job": "estimate"})
        if self._sensitivity_due() and not self._ending.begun():
            self._run_sensitivity()

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
        """A cycle where it is this process's turn; None where it is not, or where no prompt waits."""
        with self._turn.held(self._ending.begun) as other:
            if other is not None:
                _tell_other(other)
                return None
            return self._cycle()

    def _cycle(self) -> CycleSummary | None:
        return estimate_cycle(
            self._store,
            self._worker,
            self._config,
            self._clock,
            self._must_stop,
            self._ending.out_of_patience,
        )

    def _must_stop(self) -> bool:
        return self._ending.begun() or not self._turn.ours

    def _prompts_wait(self) -> bool:
        return bool(self._store.pending_prompts(self._clock() - self._config.forecast.lookback, 1))

    def _sensitivity(self) -> None:
        if not self._model_loaded.is_set():
            return
        with self._turn.held(self._ending.begun) as other:
            if other is not None:
                _tell_other(other)
                return
            self._run_sensitivity()

    def _run_sensitivity(self) -> None:
        try:
            sensitivity_job(
                self._store,
                self._worker,
                self._config,
                self._config.sensitivity,
                self._clock,
                self._must_stop,
                self._ending.out_of_patience,
            )
        except UserError as exc:
            # A paraphrasing model that is away must not end what does without it. A deployed model that no longer
            # loads is waited for at the next cycle.
            log.error("sensitivity failed: %s", exc, extra={"job": "sensitivity"})
            self._count_failure("sensitivity")

    def _sensitivity_due(self) -> bool:
        """Whether a run came due since the last one, or there are estimates and never was a run."""
        schedule, last = self._config.sensitivity.schedule, self._store.last_sensitivity()
        if schedule is None or self._store.last_complete_cycle() is None:
            return False
        return overdue(schedule, last.finished_at if last is not None else None, self._clock())

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


def _tell_other(other: str) -> None:
    log.info(
        "nothing is estimated here: %s is at it, and one process at a time estimates on a store",
        other,
        extra={"job": "estimate", "holder": other},
    )
