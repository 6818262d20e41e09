"""What went wrong in the period."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from riskmon.publish.answer import Answer, Labels, Text
from riskmon.publish.reports.document.fields import Seconds


class IncidentItem(Answer):
    """Something that went wrong."""

    kind: str = Field(description="what")
    start: datetime = Field(description="when it began")
    end: datetime | None = Field(description="when it ended; null lasts")
    detail: Text = Field(description="one sentence")


class AlertItem(Answer):
    """A stretch in which an alert fired."""

    name: Text = Field(description="name of the alert")
    labels: Labels = Field(description="its labels")
    start: datetime = Field(description="first sample")
    end: datetime = Field(description="last sample")
    firing: bool = Field(description="whether it fired at the end of the period")


class AlertsItem(Answer):
    """What Prometheus says of the period."""

    asked: bool = Field(description="whether a Prometheus is configured for reports")
    error: Text = Field(description="why there is no answer; empty otherwise")
    step: Seconds = Field(description="seconds between the moments looked at")
    alerts: list[AlertItem] = Field(description="the oldest first")
