"""What was counted, sampled and left out."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from riskmon.publish.answer import Answer
from riskmon.publish.reports.document.fields import Reasons


class TallyItem(Answer):
    """The sample of the period."""

    since: datetime = Field(description="windows that start then or later count")
    sampled: int = Field(description="prompts still in the sample")
    estimated: int = Field(description="those with an estimate")
    failed: Reasons = Field(description="those without, per reason")
    waiting: int = Field(description="those not worked on yet")


class CountersItem(Answer):
    """Totals since the store was made."""

    consumed: int = Field(description="messages read, rejected ones included")
    sampled: int = Field(description="prompts that entered the sample")
    rejected: Reasons = Field(description="messages that could not be read, per reason")
    estimated_prompts: int = Field(description="prompts estimated")
    estimate_failures: Reasons = Field(description="prompts without an estimate, per reason")
    estimate_tokens: int = Field(description="tokens pushed through any model")
    estimate_device_seconds: float = Field(description="device time spent")


class TrafficItem(Answer):
    """What was counted and what was left out."""

    requests: int = Field(description="requests counted in the period")
    previous_requests: int | None = Field(
        description="in the period before; null where counts do not reach back"
    )
    first_window: datetime | None = Field(description="start of the first counting window in the store")
    tally: TallyItem = Field(description="the sample of the period, as far as prompts are stored")
    counters: CountersItem = Field(description="since the store was made")
