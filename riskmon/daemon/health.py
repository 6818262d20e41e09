"""What the daemon answers to the probes: are its threads alive, and is it ready."""

from __future__ import annotations

from datetime import datetime

from riskmon.daemon.ending import Ending
from riskmon.daemon.following import Following
from riskmon.daemon.timetable import Timetable
from riskmon.errors import StoreUnavailable
from riskmon.scheduler import Scheduler
from riskmon.store import Store


class Health:
    """The probes of one daemon.

    Args:
        started_at: what the store holds of the source from before then says nothing.
    """

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler,
        timetable: Timetable,
        following: Following,
        ending: Ending,
        started_at: datetime,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._timetable = timetable
        self._following = following
        self._ending = ending
        self._started_at = started_at

    def alive(self) -> dict[str, bool]:
        """By part, whether its threads run, or need not since the daemon is ending."""
        return {
            "scheduler": self._scheduler.running or self._ending.begun(),
            "intake": self._following.alive or self._ending.begun(),
        }

    def ready(self) -> list[str]:
        """What is missing; empty where the daemon is ready."""
        reasons = [] if self._timetable.model_loaded else ["the model is still loading"]
        try:
            status = self._store.traffic_status()
        except StoreUnavailable as exc:
            return [*reasons, str(exc)]
        if status is None or status.at < self._started_at:
            reasons.append("the traffic source has not answered yet")
        elif not status.up:
            reasons.append(status.detail or "the traffic source cannot be reached")
        if self._ending.begun():
            reasons.append("riskmon is stopping")
        return reasons
