"""What went wrong in the period, as the store and as Prometheus tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class IncidentKind(StrEnum):
    """What went wrong in the period, as the store tells."""

    CYCLE_CUT_SHORT = "cycle cut short"
    CYCLE_LOST = "cycle lost"
    NO_COUNTS = "no requests counted"
    SOURCE_DOWN = "source down"
    STRATUM_APPEARED = "stratum appeared"
    STRATUM_VANISHED = "stratum vanished"
    STRATA_LIMITED = "limit of strata reached"


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong; `end` None lasts."""

    kind: IncidentKind
    start: datetime
    end: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A stretch in which an alert fired, to the resolution of the query; `firing` at its end of the period."""

    name: str
    labels: Mapping[str, str]
    start: datetime
    end: datetime
    firing: bool


@dataclass(frozen=True, slots=True)
class AlertLog:
    """What Prometheus says of the period; `asked` is False without one, and `error` says why there is no answer."""

    asked: bool = False
    error: str = ""
    step: timedelta = timedelta(minutes=1)
    alerts: tuple[Alert, ...] = ()
