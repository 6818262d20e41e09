"""The intake: reads the traffic for the daemon's life, or once through what is in the topic."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from riskmon import jobs, logs
from riskmon.config import TrafficConfig
from riskmon.daemon.ending import Ending
from riskmon.errors import (
    BatchRefused,
    RiskmonError,
    StoreUnavailable,
    TrafficRefused,
    TrafficUnavailable,
    UserError,
)
from riskmon.records import TrafficStatus
from riskmon.store import Store
from riskmon.traffic import open_source
from riskmon.traffic.seek.source import RangeSource
from riskmon.traffic.source import Source

log = logging.getLogger(__name__)

# Longer than a flush and a broker's slowest answer together.
_JOIN_S = 4.0
_RETRY_S = (1.0, 2.0, 4.0, 8.0, 15.0)


class Following:
    """The traffic of one daemon, and the thread that follows it.

    Args:
        lookback: older requests are not counted.
        count_failure: told the name of a job that failed.
    """

    def __init__(
        self,
        traffic: TrafficConfig,
        lookback: timedelta,
        store: Store,
        ending: Ending,
        clock: jobs.Clock,
        count_failure: Callable[[str], None],
    ) -> None:
        self._traffic = traffic
        self._lookback = lookback
        self._store = store
        self._ending = ending
        self._clock = clock
        self._count_failure = count_failure
        self._thread = threading.Thread(target=self._keep_following, name="riskmon-intake", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def configure(self, lookback: timedelta) -> None:
        """Take over a setting that was reloaded; it holds when reading begins anew."""
        self._lookback = lookback

    def start(self) -> None:
        """Begin to follow, in a thread of its own."""
        self._thread.start()

    def join(self) -> None:
        """Wait for the last batch, once the daemon is ending."""
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)

    def drain(self) -> None:
        """Read what is in the topic at this moment.

        Raises:
            RiskmonError: the source or the store failed; nothing is retried.
        """
        source = open_source(self._traffic, alone=True)
        try:
            self._follow(source, to_end=True)
        finally:
            source.close()
            self._say_goodbye()

    def _keep_following(self) -> None:
        """Follow the traffic for the daemon's life; a broker or store that is away is tried again and again."""
        source = open_source(self._traffic)
        failures = 0
        while not self._ending.begun():
            started = time.monotonic()
            try:
                self._follow(source)
            except UserError as exc:
                self._ending.begin_with(exc)
            except BatchRefused as exc:
                # Somebody else has counted, or the partitions moved: the stored offsets are right, and there at once.
                log.warning("%s", exc, extra={"job": "intake"})
                self._ending.wait(_RETRY_S[0])
            except (TrafficUnavailable, StoreUnavailable) as exc:
                failures = 0 if time.monotonic() - started > 60 else failures
                pause = _RETRY_S[min(failures, len(_RETRY_S) - 1)]
                failures += 1
                self._report_outage(exc, pause)
                self._ending.wait(pause)
            except Exception as exc:  # noqa: BLE001 - a fault of ours must not end the counting: log, count, go on
                log.error("the intake failed: %s", logs.describe(exc), extra={"job": "intake"})
                self._count_failure("intake")
                self._ending.wait(_RETRY_S[-1])
        source.close()
        self._say_goodbye()

    def _follow(self, source: Source | RangeSource, *, to_end: bool = False) -> None:
        since = self._clock() - self._lookback
        jobs.follow_traffic(
            source, self._store, self._traffic, since, self._clock, self._ending.begun, to_end=to_end
        )

    def _say_goodbye(self) -> None:
        """Note in the store that this process reads no longer; a store that is away takes its silence for that."""
        with suppress(StoreUnavailable):
            self._store.end_traffic_status()

    def _report_outage(self, exc: RiskmonError, pause: float) -> None:
        """Say on every channel why nothing is being read."""
        # A refusal lasts until somebody mends a setting; it may be the broker's, so trying goes on.
        level = logging.ERROR if isinstance(exc, TrafficRefused) else logging.WARNING
        extra = {"job": "intake", "retry_seconds": pause}
        log.log(level, "%s; trying again in %.0f s", exc, pause, extra=extra)
        if isinstance(exc, TrafficUnavailable):
            with suppress(StoreUnavailable):  # the next failure will be the store's own, and is reported then
                self._store.write_traffic_status(
                    TrafficStatus(up=False, lag_messages=None, at=self._clock(), detail=str(exc))
                )
