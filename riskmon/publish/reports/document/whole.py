"""The whole report."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Text
from riskmon.publish.reports.document.checks import CycleItem, SensitivityItem
from riskmon.publish.reports.document.fields import Reasons
from riskmon.publish.reports.document.harm import HarmPart
from riskmon.publish.reports.document.incidents import AlertsItem, IncidentItem
from riskmon.publish.reports.document.scope import FindingItem, ScopeItem, VersionsItem
from riskmon.publish.reports.document.traffic import TrafficItem


class ReportDocument(Answer):
    """A deployment report of riskmon."""

    schema_version: Literal[1] = Field(1, description="of this form; another number is another form")
    name: str = Field(description="name of the report's files, without the ending")
    made_at: datetime = Field(description="end of the period")
    since: datetime = Field(description="start of the period")
    cause: Literal["request", "schedule", "release"] = Field(description="why it was written")
    forecast_at: datetime | None = Field(description="when the forecast was made; null before the first one")
    trust: Literal["sound", "caution", "doubt"] = Field(description="how far the figures can be relied on")
    findings: list[FindingItem] = Field(description="why, the gravest first")
    scope: ScopeItem = Field(description="what is estimated")
    versions: VersionsItem = Field(description="what the figures were made with")
    traffic: TrafficItem = Field(description="what was counted and left out")
    harms: list[HarmPart] = Field(description="in configured order")
    cycles: list[CycleItem] = Field(description="finished in the period, the oldest first")
    sensitivity: SensitivityItem | None = Field(description="null before the first run")
    incidents: list[IncidentItem] = Field(description="the oldest first")
    job_failures: Reasons = Field(description="failed runs per job, since the store was made")
    alerts: AlertsItem = Field(description="from Prometheus")
    limitations: list[Text] = Field(description="sentences that hold for this report")
    excerpts: int = Field(description="characters of an excerpt; 0 shows none")
