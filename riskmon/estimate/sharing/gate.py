"""The gate in front of the device: closed while others need it.

It is asked at every step of work and looks only every `check_every`. Where a look needs the device to be still, work
rests for one, at most a twentieth of the time. While it rests nothing is computed and nothing more is allocated; what
is in the device's memory stays there.

When utilisation cannot be read any more, work goes on: a monitor that stops for good because a driver has a hiccup
would be missed more than the courtesy.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from riskmon.config import SharingConfig
from riskmon.estimate.sharing.courtesy import Courtesy
from riskmon.estimate.sharing.source import Source, Unknowable

log = logging.getLogger(__name__)

# Part of the time that looks at a still device may take.
_STILL_SHARE = 0.05


class UtilizationGate:
    """Closed while others use the device more than they may beside this process's work.

    Args:
        settings: limits and times. source: of readings.
        now, sleep: the clock, in seconds.
    """

    def __init__(
        self,
        settings: SharingConfig,
        source: Source,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._most = 1.0 if settings.max_utilization is None else settings.max_utilization
        self._courtesy = Courtesy(self._most, settings.resume_at, settings.smoothing.total_seconds())
        self._source = source
        self._every_s = settings.check_every.total_seconds()
        self._now = now
        self._sleep = sleep
        self._look_at = float("-inf")
        self._seen_at = float("-inf")
        self._blind = False

    def closed(self, rested: float) -> bool:
        """Whether to rest now, be it only for a look; see `riskmon.estimate.meter.Gate`."""
        now = self._now()
        if now < self._look_at:
            return False
        self._look_at = now + self._every_s
        if self._look(rested):
            return self._courtesy.resting
        return not self._blind and now - self._seen_at >= self._source.still_s / _STILL_SHARE

    def wait(self, rested: float, tell: Callable[[], None]) -> None:
        """Return when others have left enough of the device; see `riskmon.estimate.meter.Gate`."""
        began = self._now()
        told = False
        while True:
            still = rested + self._now() - began
            seen = self._look(still)
            if self._blind or (seen and not self._courtesy.resting):
                break
            if self._courtesy.resting and not told:
                told = True
                log.info(
                    "estimation rests: others use %.0f%% of the GPU, more than estimate.sharing.max_utilization of %g",
                    *(100 * self._courtesy.level, self._most),
                    extra={"utilization": self._courtesy.level},
                )
            tell()
            left = self._source.still_s - still
            self._sleep(left if left > 0 else self._every_s)
        self._look_at = self._now() + self._every_s
        if told:
            paused = self._now() - began
            log.info(
                "estimation goes on after %.0f seconds: others use %.0f%% of the GPU",
                *(paused, 100 * self._courtesy.level),
                extra={"paused_seconds": paused, "utilization": self._courtesy.level},
            )

    def _look(self, rested: float) -> bool:
        """Take a reading; returns whether there was one."""
        try:
            share = self._source.others(rested)
        except Unknowable as exc:
            if not self._blind:
                log.warning("estimation no longer rests for others on the GPU, since %s", exc)
            self._blind = True
            return False
        self._blind = False
        if share is None:
            return False
        now = self._now()
        self._seen_at = now
        self._courtesy.see(share, now)
        return True
