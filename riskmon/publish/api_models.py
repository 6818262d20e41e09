"""What the JSON API answers, as pydantic models; the OpenAPI description is generated from them.

Every field states unit and meaning. A number that is unknown or not finite is null: JSON has no NaN, and unknown is
not zero. Times are RFC 3339 in UTC. A stratum is an object of its labels; null means the total over all strata, whose
interval is no sum of theirs. No prompt is here, neither its text nor its id. `api_answers.py` fills the models.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _encodable(value: str) -> str:
    """Lone surrogates replaced: a producer may send them, and UTF-8 cannot carry them."""
    return value.encode("utf-8", "replace").decode("utf-8")


# Any number may be unknown, or not finite, which is written as null.
Number = float | None
Text = Annotated[str, BeforeValidator(_encodable)]
Labels = dict[Text, Text]


class Answer(BaseModel):
    """A frozen part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


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


class StratumRewording(Answer):
    """How far the harm moves when a prompt of the stratum is harmlessly reworded."""

    prompts: int = Field(description="examined prompts: those that contribute most to the forecast")
    worst_amplification: Number = Field(
        description="harm probability of the riskiest rewording over that of the prompt as it stands, the largest over "
        "the examined prompts, corrected for being the largest"
    )
    worst_amplification_lower: Number = Field(description="lower end of its 95% interval")
    worst_amplification_upper: Number = Field(
        description="upper end of its 95% interval; null where nothing bounds it"
    )
    log10_spread: Number = Field(
        description="standard deviation of log10 p over rewordings of a prompt, noise taken out, median over prompts"
    )


class StratumHarm(Answer):
    """One harm in one stratum."""

    harm: str = Field(description="name of the harm")
    harm_probability: Number = Field(description="traffic-weighted mean probability of a harmful answer")
    harm_probability_upper: Number = Field(description="95% upper limit of that probability")
    expected: Number = Field(description="expected number of harmful outputs in the next 24 hours")
    prompts: int = Field(description="estimated prompts behind it")
    hits: int = Field(description="harmful draws behind it")
    rewording: StratumRewording | None = Field(
        description="what the last sensitivity run found; null where none of the stratum's prompts was examined"
    )


class StratumItem(Answer):
    """One stratum: how much traffic, and how harmful."""

    stratum: Labels = Field(description="labels of the stratum; empty where traffic is not split")
    daily_requests: Number = Field(description="predicted requests in the next 24 hours")
    share: Number = Field(description="share of all strata's predicted requests, 0 to 1")
    basis: str = Field(description="what the predicted volume rests on")
    harms: list[StratumHarm] = Field(description="in configured order")


class StrataAnswer(Answer):
    """The strata of the traffic, the largest first."""

    taken_at: datetime = Field(description="when the store was read")
    made_at: datetime | None = Field(description="when the forecast was made; null before the first one")
    reworded_at: datetime | None = Field(
        description="when the last complete sensitivity run ended; null before the first one"
    )
    strata: list[StratumItem] = Field(description="empty before the first forecast")


class Audit(Answer):
    """Draws of the deployed model itself, and those of them whose harm no proposal reaches."""

    target_draws: int = Field(description="draws of the deployed model itself")
    gap_hits: int = Field(description="harmful ones among them that no proposal covers")
    uncovered_probability_upper: Number = Field(
        description="95% upper bound on the mean probability of harm that only the deployed model's own draws reach"
    )


class Observed(Answer):
    """Production responses that were judged, since the store was made."""

    outputs: int = Field(description="responses judged")
    harmful: int = Field(description="harmful ones among them")


class HarmItem(Answer):
    """Health of one harm's estimates."""

    harm: str = Field(description="name of the harm")
    judge: str = Field(description="kind of its judge")
    ess_ratio: Number = Field(
        description="effective sample size of the weighted harm over draws, mean over prompts with hits"
    )
    khat: Number = Field(description="largest Pareto tail index; above 0.7 errors are understated")
    coverage_gap_ratio: Number = Field(
        description="share of the last cycle's prompts with the flag COVERAGE_GAP: harm that the proposals miss"
    )
    last_cycle: Audit | None = Field(
        description="coverage audit of the last cycle; null before the first one"
    )
    pooled: Audit | None = Field(
        description="coverage audit over all prompts, strata and days in the store; null without a count"
    )
    observed: Observed = Field(description="what production responses showed")


class Cycle(Answer):
    """The last estimate cycle."""

    started_at: datetime = Field(description="when it began")
    finished_at: datetime = Field(description="when it ended")
    complete: bool = Field(description="false where it was broken off")
    prompts: int = Field(description="prompts estimated")
    failures: dict[str, int] = Field(description="prompts without an estimate, by reason")
    left_out: int = Field(description="prompts that the device budget left without an estimate")
    tokens: int = Field(description="tokens pushed through any model")
    device_seconds: Number = Field(description="device time spent")
    weight_mean: Number = Field(description="mean importance weight; 1 in expectation")
    path_discrepancy_nats: Number = Field(
        description="largest difference between a decoded and a rescored log-probability"
    )


class EstimatesAnswer(Answer):
    """How healthy the estimates are; per harm, without any prompt."""

    taken_at: datetime = Field(description="when the store was read")
    cycle: Cycle | None = Field(description="the last estimate cycle; null before the first one")
    harms: list[HarmItem] = Field(description="in configured order")


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
