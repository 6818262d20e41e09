"""`/api/v1/health`: whether riskmon works, and how far its figures can be relied on."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Number, Text


class Traffic(Answer):
    """The traffic source at its last check."""

    up: bool = Field(description="whether it answered")
    lag_messages: int | None = Field(description="unread messages over all partitions; null while unknown")
    checked_at: datetime = Field(description="when it was checked")
    detail: Text = Field(description="one sentence where it did not answer")


class IntervalCoverage(Answer):
    """How many past prediction intervals of one level held."""

    level: Number = Field(description="nominal level: 0.5, 0.9 or 0.99")
    held: int = Field(description="intervals that held")
    of: int = Field(description="intervals whose day had enough judged responses to tell")
    low: Number = Field(description="95% lower limit of the share that holds")
    high: Number = Field(description="95% upper limit of it")


class BacktestItem(Answer):
    """Past forecasts of a harm over all strata, one a day, against judged production responses."""

    made_at: datetime = Field(description="when forecasts were last held against responses")
    summary: Text = Field(description="one sentence, as on the page")
    forecasts: int = Field(description="forecasts of the last 30 days whose 24 hours are over, one a day")
    scored: int = Field(
        description="those with enough judged responses to notice three times the upper limit"
    )
    undecided: int = Field(
        description="those with too few responses to tell, which did not contradict either"
    )
    needed: int | None = Field(
        description="about how many judged responses would have told of the newest forecast; "
        "null where it could be told, or not even all responses would do"
    )
    above: int = Field(
        description="those that were too low: responses showed more than the 90% interval allows"
    )
    below: int = Field(description="those that were too high: responses showed less than it allows")
    median_error: Number = Field(
        description="median multiplicative error, at least 1; null with too few harmful responses to say"
    )
    observation_error: Number = Field(
        description="median multiplicative error that sampling of responses alone makes; null likewise"
    )
    intervals: list[IntervalCoverage] = Field(description="by level, over the scored ones")
    directions: int = Field(description="changes from one day to another that were no chance")
    directions_right: int = Field(description="those among them that were forecast with the right sign")


class HarmCheck(Answer):
    """How far the figures of one harm can be relied on."""

    harm: str = Field(description="name of the harm")
    flagged: dict[str, int] | None = Field(
        description="prompts of the last cycle whose estimate carries a flag, by flag; null while unknown"
    )
    backtest: BacktestItem | None = Field(description="null before the first back-test")


class HealthAnswer(Answer):
    """Whether riskmon works: the checks of `/healthz` and `/readyz`, and what needs attention."""

    status: Literal["ready", "not ready", "dead"] = Field(
        description="dead: a loop of the process has stopped; not ready: see reasons"
    )
    reasons: list[Text] = Field(description="why it is not ready; empty when it is")
    loops: dict[str, bool] = Field(description="per loop of the process, whether it runs")
    store_up: bool = Field(description="whether the store could be read")
    attention: list[Text] = Field(description="what needs a person, as the page says it, the gravest first")
    forecast_at: datetime | None = Field(description="when the last forecast was made")
    estimates_at: datetime | None = Field(description="when the last complete estimate cycle ended")
    traffic: Traffic | None = Field(description="null before the first check, and while the store is down")
    harms: list[HarmCheck] = Field(description="in configured order; empty while the store is down")
