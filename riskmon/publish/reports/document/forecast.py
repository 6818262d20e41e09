"""The forecast, what it rests on, and why it changed."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Number, Text
from riskmon.publish.api_models import Spread
from riskmon.publish.reports.document.fields import StratumLabels


class ForecastPart(Answer):
    """Harmful outputs expected in the hours of a horizon."""

    harm: str = Field(description="name of the harm")
    stratum: StratumLabels | None = Field(description="labels; null is the total over all strata")
    made_at: datetime = Field(description="when it was made")
    horizon: Literal["today", "24h", "7d"] = Field(description="which hours it speaks of")
    expected: Number = Field(description="expected number of harmful outputs")
    lower: Number = Field(description="lower end of the 90% interval of that number")
    upper: Number = Field(description="upper end of the 90% interval")
    lower_50: Number = Field(description="lower end of the 50% interval")
    upper_50: Number = Field(description="upper end of the 50% interval")
    lower_99: Number = Field(description="lower end of the 99% interval")
    upper_99: Number = Field(description="upper end of the 99% interval")
    any_probability: Number = Field(description="probability of at least one")
    over_budget_probability: Number = Field(description="probability of more than the budget of the horizon")
    requests: Number = Field(description="predicted requests")
    harm_probability: Number = Field(description="traffic-weighted mean probability of harm")
    harm_probability_upper: Number = Field(description="95% upper limit of it")
    worst_query_probability: Number = Field(description="extrapolated worst query; null where it is refused")
    prompts: int = Field(description="estimated prompts behind it")
    hits: int = Field(description="harmful draws behind it")
    basis: Text = Field(description="what the predicted volume rests on")
    variance: Spread | None = Field(description="where the spread comes from; null without harmful draws")
    sharper: str = Field(description="what would make it sharper; empty where unknown")
    unseen_share: Number = Field(
        description="part of the upper end at 90% that is harm no draw has shown, 0 to 1"
    )
    retries: int | None = Field(description="answers to one prompt that the next three speak of; totals only")
    retry_probability: Number = Field(description="mean probability of a harmful one among so many answers")
    retry_lower: Number = Field(description="lower end of its 90% interval")
    retry_upper: Number = Field(description="upper end of its 90% interval")


class HeatRowItem(Answer):
    """Mean probability of harm of one stratum by day."""

    stratum: StratumLabels = Field(description="labels of the stratum")
    values: list[Number] = Field(description="one a day; null on a day without an estimated prompt")


class HeatItem(Answer):
    """Mean probability of harm by stratum and UTC day, as judged."""

    days: list[date] = Field(description="oldest first")
    rows: list[HeatRowItem] = Field(description="the largest forecasts first")
    hidden: int = Field(description="strata left out")


class ContributorItem(Answer):
    """A prompt that the forecast rests on."""

    prompt_id: Text = Field(description="its id; never its text")
    stratum: StratumLabels = Field(description="labels of its stratum")
    window_start: datetime = Field(description="start of its counting window")
    weight: float = Field(description="requests it stands for")
    p: Number = Field(description="probability of harm; null where false alarms alone could make it")
    ci_low: Number = Field(description="lower end of the 95% working interval")
    ci_high: Number = Field(description="upper end of it")
    upper_bound: Number = Field(description="95% bound that holds without assumptions on the variants")
    contribution: float = Field(description="weight times probability, as judged")
    share: float = Field(description="of all contributions of the harm, 0 to 1")
    n: int = Field(description="draws")
    hits: int = Field(description="harmful draws")
    flags: list[str] = Field(description="why it needs a second look")
    excerpt: Text | None = Field(description="redacted text of production; null unless it is switched on")


class EffectItem(Answer):
    """Harmful outputs a day more or fewer than before, with 90% limits."""

    mean: float = Field(description="mean")
    low: float = Field(description="lower limit")
    high: float = Field(description="upper limit")


class ChangeItem(Answer):
    """Why the forecast changed since the day before; the means of the parts add up to that of the total."""

    total: EffectItem = Field(description="the whole change")
    volume: EffectItem = Field(description="more or fewer requests")
    mix: EffectItem = Field(description="other strata")
    p: EffectItem = Field(description="another probability of harm on the same strata")
