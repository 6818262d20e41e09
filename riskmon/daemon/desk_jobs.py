"""The jobs at the desk, which need no device: forecast, back-test, strata that vanish, reports, forgetting the old.

One desk at a time works on a store. A second one serves what the first one makes, and takes over when that is silent.
Where cycles are run by another process, the desk looks for them in the store, and makes a forecast from each.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from riskmon import jobs
from riskmon.config import Config
from riskmon.daemon.ending import Ending
from riskmon.daemon.turn import Turn
from riskmon.records import Forecast
from riskmon.reporting.reporter import Reporter
from riskmon.scheduler import Scheduled, Scheduler
from riskmon.store import Store

log = logging.getLogger(__name__)

_PURGE_EVERY = timedelta(hours=1)
_WATCH_STRATA_EVERY = timedelta(hours=1)
_BACK_TEST_EVERY_S = 3600.0
# The turn is not waited for where the store is locked: the daemon must end in seconds.
_LET_GO_WITHIN_S = 1.0


class DeskJobs:
    """The jobs of one daemon at its desk.

    Args:
        config: with a traffic section.
        scheduler: not yet started.
        turn: at the desk.
        looks_for_cycles: whether another process runs them; its own device hastens the forecast itself.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        scheduler: Scheduler,
        reporter: Reporter,
        turn: Turn,
        ending: Ending,
        clock: jobs.Clock,
        *,
        looks_for_cycles: bool = False,
    ) -> None:
        self._config = config
        self._store = store
        self._scheduler = scheduler
        self._reporter = reporter
        self._turn = turn
        self._ending = ending
        self._clock = clock
        self._looks_for_cycles = looks_for_cycles
        self._last_back_test = float("-inf")
        self._forecast_from: datetime | None = None
        self._forecast_left_out = False
        self._other = ""  # that has the turn, as far as the log tells
        self._keeper = threading.Thread(
            target=turn.keep, args=(ending.begun, ending.wait), name="riskmon-turn-desk", daemon=True
        )

    def begin(self) -> None:
        """Give the scheduler what runs without a crontab, and begin to ask for the turn."""
        self._scheduler.every("purge", _PURGE_EVERY, "desk", self._in_turn(self._purge))
        self._scheduler.every("strata", _WATCH_STRATA_EVERY, "desk", self._in_turn(self._watch_strata))
        self._keeper.start()

    def scheduled(self) -> Iterator[Scheduled]:
        """What runs by crontab, or when it is hastened."""
        yield Scheduled("forecast", self._config.forecast.schedule, "desk", self._in_turn(self._forecast))
        sampling = self._config.require_traffic("run").sampling
        if sampling.trains:
            yield Scheduled("scorer", sampling.retrain, "desk", self._in_turn(self._train_scorer))
        if self._reporter.wanted:
            self._reporter.start()
            yield Scheduled("report", self._config.report.schedule, "desk", self._in_turn(self._report))

    def configure(self, config: Config) -> None:
        """Take over settings that were reloaded, with the next run of a job."""
        self._config = config

    def catch_up(self) -> None:
        """Bring a report forward that is due, and a forecast where there is a new cycle or one was left out."""
        if self._turn.ours:
            self._take_over()
            self._look()
        elif self._turn.holder not in ("", self._other):
            self._other = self._turn.holder
            log.info(
                "%s forecasts and reports on this store; this process serves what is there, and takes over when "
                "that one is silent",
                self._other,
                extra={"holder": self._other},
            )

    def once(self) -> list[Forecast]:
        """Forecast, back-test and look for strata that vanished, without the scheduler.

        Raises:
            RiskmonError: any of them failed; nothing is retried.
        """
        made = jobs.forecast(self._store, self._config, "run", self._clock())
        if made:
            self._back_test()
        self._watch_strata()
        return made

    def close(self) -> None:
        """Give the turn back, once the daemon is ending and no job runs."""
        if self._keeper.is_alive():
            self._keeper.join(_LET_GO_WITHIN_S)
        self._turn.give_back()

    def _in_turn(self, job: Callable[[], object]) -> Callable[[], None]:
        """A job that does nothing while another process has the turn."""

        def run() -> None:
            self._turn.take()
            if self._turn.ours:
                job()
            elif job == self._forecast:
                self._forecast_left_out = True

        return run

    def _take_over(self) -> None:
        """Where another process had the turn: which reports it sent is known from the folder they share."""
        if self._other:
            log.info("this process forecasts and reports now, since %s is silent", self._other)
            self._reporter.recall()
            self._other = ""

    def _look(self) -> None:
        if self._reporter.wanted and self._reporter.due(
            self._clock(), self._store.last_complete_cycle(), self._store.last_forecast_at()
        ):
            self._scheduler.hasten("report")
        new = self._looks_for_cycles and self._cycle_is_new()
        if new:
            log.info(
                "there is a new estimate cycle, and a forecast is made from it", extra={"job": "forecast"}
            )
        if new or self._forecast_left_out:
            self._forecast_left_out = False
            self._scheduler.hasten("forecast")

    def _cycle_is_new(self) -> bool:
        """Whether a cycle ended after the newest forecast was made; said once of each."""
        cycle = self._store.last_cycle()
        if cycle is None or cycle.finished_at == self._forecast_from:
            return False
        self._forecast_from = cycle.finished_at
        made_at = self._store.last_forecast_at()
        return made_at is None or made_at < cycle.finished_at

    def _forecast(self) -> None:
        made = jobs.forecast(self._store, self._config, "run", self._clock())
        if made and time.monotonic() - self._last_back_test > _BACK_TEST_EVERY_S:
            self._last_back_test = time.monotonic()
            self._scheduler.once("back-test", "desk", self._in_turn(self._back_test))

    def _back_test(self) -> None:
        jobs.back_test(self._store, self._config, "run", self._clock())

    def _watch_strata(self) -> None:
        jobs.watch_strata(self._store, self._config, "run", self._clock())

    def _train_scorer(self) -> None:
        jobs.train_scorer(self._store, self._config, "run", self._clock())

    def _report(self) -> None:
        self._reporter.write(self._clock())

    def _purge(self) -> None:
        jobs.purge(self._store, self._config, self._clock())
