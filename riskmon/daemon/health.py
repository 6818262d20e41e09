"""What the daemon answers to the probes: are its threads alive, and is it ready for what its role is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from riskmon.daemon.device_jobs import DeviceJobs
from riskmon.daemon.ending import Ending
from riskmon.daemon.following import Following
from riskmon.errors import StoreUnavailable
from riskmon.scheduler import Scheduler
from riskmon.store import Store


class Health:
    """The probes of one daemon.

    Args:
        scheduler: None where the role has no jobs. device: None where it has no model. following: None where it reads
            no traffic.
        started_at: what the store holds of the source from before then says nothing.
    """

    def __init__(
        self,
        store: Store,
        scheduler: Scheduler | None,
        device: DeviceJobs | None,
        following: Following | None,
        ending: Ending,
        started_at: datetime,
    ) -> None:
        self._store = store
        self._scheduler = scheduler
        self._device = device
        self._following = following
        self._ending = ending
        self._started_at = started_at

    def alive(self) -> dict[str, bool]:
        """By part, whether its threads run, or need not since the daemon is ending."""
        alive = {}
        if self._scheduler is not None:
            alive["scheduler"] = self._scheduler.running or self._ending.begun()
        if self._following is not None:
            alive["intake"] = self._following.alive or self._ending.begun()
        return alive

    def ready(self) -> list[str]:
        """What is missing; empty where the daemon is ready."""
        return list(self._missing())

    def _missing(self) -> Iterator[str]:
        if self._device is not None and not self._device.model_loaded:
            yield "the model is still loading"
        try:
            status = self._store.own_traffic_status()
        except StoreUnavailable as exc:
            yield str(exc)
            return
        if self._following is not None:
            if status is None or status.at < self._started_at:
                yield "the traffic source has not answered yet"
            elif not status.up:
                yield status.detail or "the traffic source cannot be reached"
        if self._ending.begun():
            yield "riskmon is stopping"
