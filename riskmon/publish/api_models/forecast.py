"""`/api/v1/forecast`: the totals, the strata, further horizons, and what changed."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Labels, Number, Text


class EffectItem(Answer):
    """Harmful outputs of 24 hours, more than before where positive."""

    mean: Number = Field(description="expected number more than before; the parts add up to the total")
    lower: Number = Field(description="lower end of the 90% interval; null where it is unknown")
    upper: Number = Field(description="upper end of the 90% interval; null where it is unknown")


class ChangeItem(Answer):
    """A change of the expected number of harmful outputs, and what it comes from."""

    total: EffectItem = Field(description="the whole change")
    volume: EffectItem = Field(description="from more or fewer requests")
    mix: EffectItem = Field(description="from other shares of the strata")
    p: EffectItem = Field(description="from other probabilities of harm within the strata")


class VersionChangeItem(Answer):
    """The version of the model that appeared last against the other one with the most requests."""

    harm: str = Field(description="name of the harm")
    label: str = Field(description="label of the strata that tells versions apart")
    before: Text = Field(description="its value for the older version")
    after: Text = Field(description="its value for the newer version")
    change: ChangeItem = Field(description="from the older to the newer; p is what the versions differ by")


class ForecastItem(Answer):
    """Harmful outputs expected in the 24 hours after `made_at`."""

    harm: str = Field(description="name of the harm")
    stratum: Labels | None = Field(description="labels of the stratum; null is the total over all strata")
    made_at: datetime = Field(description="when the forecast was made")
    expected: Number = Field(description="expected number of harmful outputs")
    lower: Number = Field(description="lower end of the 90% prediction interval of that number")
    upper: Number = Field(description="upper end of the 90% prediction interval of that number")
    any_probability: Number = Field(description="probability of at least one harmful output")
    budget_daily: Number = Field(
        description="configured budget of harmful outputs a day, with the total only; null where there is none"
    )
    daily_requests: Number = Field(description="predicted requests")
    harm_probability: Number = Field(description="traffic-weighted mean probability of a harmful answer")
    harm_probability_upper: Number = Field(description="95% upper limit of that probability")
    worst_query_probability: Number = Field(
        description="extrapolated harm probability of the day's worst query; null where it is refused"
    )
    prompts: int = Field(description="estimated prompts behind the forecast")
    hits: int = Field(description="harmful draws behind it; at 0 only the upper limits inform")
    basis: str = Field(description="what the predicted volume rests on")
    change: ChangeItem | None = Field(
        description="since the forecast of a day before, with the total only; null where there is no such forecast"
    )


class Interval(Answer):
    """A prediction interval of the number of harmful outputs."""

    level: float = Field(description="probability that it holds the number: 0.5, 0.9 or 0.99")
    lower: Number = Field(description="its lower end")
    upper: Number = Field(description="its upper end")


class Spread(Answer):
    """Where the spread of the number comes from, as shares that add up to 1."""

    volume: float = Field(description="how many requests will come")
    prompts: float = Field(description="which prompts were sampled")
    samples: float = Field(description="the draws of each prompt")
    judge: float = Field(description="how often the judge is wrong; 0 where that was never measured")
    chance: float = Field(description="the number itself, however well its mean is known")


class OutlookItem(Answer):
    """Harmful outputs expected over all strata within one horizon."""

    harm: str = Field(description="name of the harm")
    horizon: Literal["today", "24h", "7d"] = Field(
        description="today is the present local day; the others begin at `made_at`"
    )
    made_at: datetime = Field(description="when the forecast was made")
    expected: Number = Field(description="expected number of harmful outputs")
    intervals: list[Interval] = Field(description="at 50, 90 and 99%")
    any_probability: Number = Field(description="probability of at least one harmful output")
    over_budget_probability: Number = Field(
        description="probability of more than the budget, seven daily ones for 7d; null without a budget"
    )
    requests: Number = Field(description="predicted requests; today's include those counted since midnight")
    worst_query_probability: Number = Field(
        description="extrapolated harm probability of the horizon's worst query; null where it is refused"
    )
    retries: int | None = Field(description="answers to one prompt that the next two speak of")
    retry_probability: Number = Field(
        description="mean probability of a harmful answer among so many answers to one prompt"
    )
    retry_probability_upper: Number = Field(description="upper end of its 90% interval")
    variance: Spread | None = Field(description="null where nothing harmful was drawn")
    unseen_share: Number = Field(
        description="part of the upper end at 90% that is harm no draw has shown, 0 to 1"
    )
    sharper: str = Field(description="what would make the forecast sharper, in words; empty where unknown")


class ForecastAnswer(Answer):
    """The current forecast: per harm the total over all strata, then the strata."""

    taken_at: datetime = Field(description="when the store was read")
    made_at: datetime | None = Field(description="when the forecast was made; null before the first one")
    forecasts: list[ForecastItem] = Field(description="totals and strata; empty before the first forecast")
    outlook: list[OutlookItem] = Field(description="totals of every horizon; empty before the first forecast")
    versions: list[VersionChangeItem] = Field(
        description="per harm, where strata tell of two versions of the model; empty else"
    )
