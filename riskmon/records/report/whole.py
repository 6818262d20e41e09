"""The whole report, and how far it can be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from riskmon.records.cycles import CycleSummary
from riskmon.records.report.harms import HarmReport
from riskmon.records.report.incidents import AlertLog, Incident
from riskmon.records.report.scope import Scope, Versions
from riskmon.records.report.traffic import TrafficReport
from riskmon.records.sensitivity import SensitivitySummary


class ReportCause(StrEnum):
    """Why a report was written."""

    REQUEST = "request"
    SCHEDULE = "schedule"
    RELEASE = "release"


class Trust(StrEnum):
    """How far a forecast can be relied on."""

    SOUND = "sound"
    CAUTION = "caution"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for caution or doubt, as a sentence for people; `harm` None concerns all."""

    trust: Trust
    text: str
    harm: str | None = None


@dataclass(frozen=True, slots=True)
class DeploymentReport:
    """A whole report over [since, made_at).

    Attributes:
        trust: of all harms together, the worst. findings: why, the gravest first.
        cycles: finished in the period, the oldest first.
        limitations: sentences that hold for this very report.
        excerpts: characters of an excerpt; 0 shows none.
    """

    made_at: datetime
    since: datetime
    cause: ReportCause
    forecast_at: datetime | None
    scope: Scope
    versions: Versions
    traffic: TrafficReport
    harms: tuple[HarmReport, ...]
    trust: Trust
    findings: tuple[Finding, ...]
    cycles: tuple[CycleSummary, ...]
    sensitivity: SensitivitySummary | None
    incidents: tuple[Incident, ...]
    job_failures: Mapping[str, int]
    alerts: AlertLog
    limitations: tuple[str, ...]
    excerpts: int = 0

    @property
    def name(self) -> str:
        """Name of its files, without the ending."""
        return f"report-{self.made_at:%Y%m%dT%H%M%SZ}"
