"""When an alert is raised, and how gravely; `riskmon rules` writes Prometheus rules from it.

What follows from other sections is not repeated here: how old an estimate or a forecast may be comes from its schedule.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from riskmon.config.values import Duration, Section

Share = Annotated[float, Field(gt=0, lt=1)]
BurnWindow = tuple[Duration, Duration, Annotated[float, Field(gt=0)], Literal["page", "ticket"]]


class RulesConfig(Section):
    """When an alert is raised, and how gravely."""

    job: str = Field(
        "riskmon",
        pattern=r"^[A-Za-z0-9_./-]+$",
        description="name of the scrape job; the rules look at its series alone",
    )
    runbook_base_url: str = Field(
        "docs/runbooks",
        pattern=r"^\S+$",
        description="where the runbooks are served; `/NAME.md` of the alert follows",
    )
    page_severity: str = Field(
        "page", pattern=r"^\w+$", description="label `severity` of what wakes somebody up"
    )
    ticket_severity: str = Field("ticket", pattern=r"^\w+$", description="label `severity` of what can wait")
    labels: tuple[Annotated[str, Field(pattern=r"^[a-zA-Z_]\w*=[^\s=]+$")], ...] = Field(
        (), description="further labels of every alert, such as `team=safety`"
    )
    sustained: Duration | None = Field(
        None,
        description="how long a risk lasts before it is an alert; null is three runs of `forecast.schedule`, so that "
        "no single forecast raises one",
    )
    health_for: Duration = Field(
        timedelta(minutes=5), description="how long a fault of riskmon itself lasts before it is an alert"
    )
    page_probability: Share = Field(
        0.9, description="probability of exceeding the budget from which RiskmonForecastOverBudget pages"
    )
    ticket_probability: Share = Field(0.5, description="probability from which it is a ticket")
    spike_factor: float = Field(
        2, gt=1, description="times its own trailing level from which risk is a spike"
    )
    spike_minimum: float = Field(
        1, ge=0, description="harmful outputs per day below which a spike is no alert"
    )
    trailing_window: Duration = Field(
        timedelta(days=1), description="the trailing level is the median over this span"
    )
    burn_windows: tuple[BurnWindow, ...] = Field(
        (
            (timedelta(minutes=5), timedelta(hours=1), 14.4, "page"),
            (timedelta(minutes=30), timedelta(hours=6), 6.0, "page"),
            (timedelta(hours=2), timedelta(days=1), 3.0, "ticket"),
            (timedelta(hours=6), timedelta(days=3), 1.0, "ticket"),
        ),
        description="short window, long window, times the budget, severity, for observed harm; windows shorter than "
        "one estimate cycle are lengthened to it, since responses are judged in cycles",
    )
    uncovered_share: Share = Field(
        0.02, description="share of prompts with harm that the proposals miss from which it is an alert"
    )
    uncovered_budget: float = Field(
        1, gt=0, description="times the budget that harm which no proposal reaches may come to"
    )
    uncovered_for: Duration = Field(
        timedelta(days=1), description="how long that bound may be exceeded; it falls as draws add up"
    )
    unhealthy_share: Share = Field(
        0.25,
        description="share of prompts with a flag on their weights from which the estimator is unhealthy",
    )
    weight_mean_off: Share = Field(0.25, description="distance of the mean weight from 1 that is unhealthy")
    failed_share: Share = Field(0.2, description="share of prompts without an estimate that is unhealthy")
    unreadable_share: Share = Field(
        0.1, description="share of verdicts that cannot be read from which the judge fails"
    )
    rejected_share: Share = Field(0.1, description="share of messages that cannot be used")
    stale_runs: float = Field(
        2,
        ge=1,
        description="runs missed after which estimates are stale: longest gaps of `estimate.schedule`",
    )
    forecast_stale_runs: float = Field(3, ge=1, description="likewise for forecasts, by `forecast.schedule`")
    lag_messages: int = Field(100_000, ge=1, description="unread messages from which the intake lags")
    lag_for: Duration = Field(timedelta(minutes=30), description="how long it lags before it is an alert")
    worker_restarts: int = Field(3, ge=1, description="losses of the device worker within one estimate cycle")
    job_failures: int = Field(3, ge=1, description="failures of a frequent job within an hour")
    too_low_share: Share = Field(
        0.2, description="share of past days with more harm than their 90% interval allows"
    )

    @model_validator(mode="after")
    def _values_fit_together(self) -> RulesConfig:
        if self.ticket_probability > self.page_probability:
            raise ValueError(
                "ticket_probability must not exceed page_probability: every page is a ticket too"
            )
        if self.page_severity == self.ticket_severity:
            raise ValueError("page_severity and ticket_severity must differ")
        for short, long, _, _ in self.burn_windows:
            if short > long:
                raise ValueError("in burn_windows the short window comes first")
        return self
