"""All about one harm."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Number
from riskmon.publish.reports.document.checks import BacktestItem, CoverageItem, JudgeItem
from riskmon.publish.reports.document.forecast import ChangeItem, ContributorItem, ForecastPart, HeatItem
from riskmon.publish.reports.document.scope import HarmScopeItem


class HarmPart(Answer):
    """All about one harm."""

    scope: HarmScopeItem = Field(description="what counts as harm")
    verdict: Literal["over", "reaches", "within", "no budget", "unknown"] = Field(
        description="the next 24 hours against the budget: over it; the interval reaches beyond; within"
    )
    total: ForecastPart | None = Field(description="of the next 24 hours; null before the first forecast")
    previous: ForecastPart | None = Field(description="the total a period ago, or the oldest since")
    ratio: Number = Field(description="total over previous; null where either is missing")
    outlook: list[ForecastPart] = Field(description="totals of each horizon")
    strata: list[ForecastPart] = Field(description="of the next 24 hours, the largest first")
    history: list[ForecastPart] = Field(description="totals of the period, the oldest first")
    heat: HeatItem = Field(description="mean probability of harm by stratum and day")
    contributors: list[ContributorItem] = Field(description="prompts, the largest contribution first")
    doubtful_share: Number = Field(description="part of the contributions from estimates flagged as wrong")
    judge: JudgeItem | None = Field(description="null where the judge was never measured")
    coverage: CoverageItem | None = Field(description="null before there are draws to audit")
    observed: tuple[int, int] = Field(
        description="production responses judged since the store was made, and harmful ones among them"
    )
    change: ChangeItem | None = Field(description="null where it has not been split")
    backtest: BacktestItem | None = Field(description="null before there is one")
