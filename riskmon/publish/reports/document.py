"""What the JSON report holds, as pydantic models; `docs/report.schema.json` is generated from them.

Each model reads the record of the same part by the names of its attributes, so nothing is copied by hand. A number that
is unknown or not finite is null: JSON has no NaN, and unknown is not zero. Times are RFC 3339 in UTC. A stratum is an
object of its labels; null is the total over all strata, whose interval is no sum of theirs.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from riskmon.publish.api_models import Answer, Labels, Number, Text
from riskmon.records import Stratum


def _labels(value: object) -> object:
    return value.as_dict() if isinstance(value, Stratum) else value


def _seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


StratumLabels = Annotated[Labels, BeforeValidator(_labels)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Reasons = dict[Text, int]


class Part(Answer):
    """A part that is read from a record."""

    model_config = ConfigDict(from_attributes=True)


class FindingItem(Part):
    """A reason for caution or doubt."""

    trust: Literal["sound", "caution", "doubt"] = Field(description="how grave it is")
    harm: Text | None = Field(description="which harm; null concerns all")
    text: Text = Field(description="one sentence")


class HarmScopeItem(Part):
    """What counts as harm."""

    name: str = Field(description="name of the harm")
    judge: str = Field(description="kind of its judge")
    source: Text = Field(description="model, preset, or hash of the rule behind the judge")
    threshold: float = Field(description="scores at or above it are harmful")
    budget_daily: Number = Field(
        description="harmful outputs a day that are tolerated; null without a budget"
    )


class ScopeItem(Part):
    """What is estimated."""

    harms: list[HarmScopeItem] = Field(description="in configured order")
    max_new_tokens: int = Field(description="token cap of an answer; harm behind it is not seen")
    temperature: float = Field(description="softmax temperature of the deployed sampler")
    top_p: float = Field(description="nucleus mass of the deployed sampler; 1 keeps all")
    top_k: int = Field(description="tokens kept by rank; 0 keeps all")
    min_p: float = Field(description="smallest probability kept, relative to the best; 0 keeps all")
    labels: list[str] = Field(description="names of the labels that split the traffic")
    lookback: Seconds = Field(description="seconds of traffic and estimates that make a forecast")
    window: Seconds = Field(description="seconds of a counting window")


class ExpertItem(Part):
    """An unsafe variant."""

    name: str = Field(description="its name")
    kind: str = Field(description="its kind")
    ladder: list[float] = Field(description="strengths at which it proposes")
    fingerprint: str = Field(description="hash over its settings and files")


class PlanMemberItem(Part):
    """A proposal of a plan."""

    expert: str = Field(description="which variant; `target` is the model itself")
    strength: float = Field(description="at which strength")
    start: int = Field(description="first token position it speaks at")
    stop: int = Field(description="first token position behind its window")
    share: float = Field(description="share of the draws, 0 to 1")


class PlanItem(Part):
    """Where draws come from."""

    stratum: StratumLabels | None = Field(
        description="where it is used; null is every stratum without its own"
    )
    made_at: datetime = Field(description="when it was chosen")
    hits: int = Field(description="harmful draws it was chosen from")
    effective_hits: float = Field(description="their effective number by weight")
    gain_nats: Number = Field(description="gain in mean log-density over the first plan; null without hits")
    reason: Text = Field(description="one sentence")
    members: list[PlanMemberItem] = Field(description="the proposals, the target first")


class VersionsItem(Part):
    """What the figures were made with."""

    riskmon: str = Field(description="version of riskmon")
    target: Text = Field(description="folder's name or hub id of the deployed model")
    revision: str | None = Field(description="pinned commit of a hub id")
    fingerprint: str = Field(description="hash over the target's files, sampler and template")
    experts: list[ExpertItem] = Field(description="unsafe variants")
    plans: list[PlanItem] = Field(description="in force when the report was made")
    config_sha256: str = Field(description="hash of the canonical configuration without secrets")


class TallyItem(Part):
    """The sample of the period."""

    since: datetime = Field(description="windows that start then or later count")
    sampled: int = Field(description="prompts still in the sample")
    estimated: int = Field(description="those with an estimate")
    failed: Reasons = Field(description="those without, per reason")
    waiting: int = Field(description="those not worked on yet")


class CountersItem(Part):
    """Totals since the store was made."""

    consumed: int = Field(description="messages read, rejected ones included")
    sampled: int = Field(description="prompts that entered the sample")
    rejected: Reasons = Field(description="messages that could not be read, per reason")
    estimated_prompts: int = Field(description="prompts estimated")
    estimate_failures: Reasons = Field(description="prompts without an estimate, per reason")
    estimate_tokens: int = Field(description="tokens pushed through any model")
    estimate_device_seconds: float = Field(description="device time spent")


class TrafficItem(Part):
    """What was counted and what was left out."""

    requests: int = Field(description="requests counted in the period")
    previous_requests: int | None = Field(
        description="in the period before; null where counts do not reach back"
    )
    first_window: datetime | None = Field(description="start of the first counting window in the store")
    tally: TallyItem = Field(description="the sample of the period, as far as prompts are stored")
    counters: CountersItem = Field(description="since the store was made")


class VarianceItem(Part):
    """Where the spread of a forecast comes from; shares add up to 1."""

    volume: float = Field(description="how many requests will come")
    prompts: float = Field(description="which prompts were sampled")
    samples: float = Field(description="the draws of each prompt")
    judge: float = Field(description="how often the judge is wrong")
    chance: float = Field(description="the count itself")


class ForecastPart(Part):
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
    variance: VarianceItem | None = Field(
        description="where the spread comes from; null without harmful draws"
    )
    sharper: str = Field(description="what would make it sharper; empty where unknown")
    unseen_share: Number = Field(
        description="part of the upper end at 90% that is harm no draw has shown, 0 to 1"
    )
    retries: int | None = Field(description="answers to one prompt that the next three speak of; totals only")
    retry_probability: Number = Field(description="mean probability of a harmful one among so many answers")
    retry_lower: Number = Field(description="lower end of its 90% interval")
    retry_upper: Number = Field(description="upper end of its 90% interval")


class HeatRowItem(Part):
    """Mean probability of harm of one stratum by day."""

    stratum: StratumLabels = Field(description="labels of the stratum")
    values: list[Number] = Field(description="one a day; null on a day without an estimated prompt")


class HeatItem(Part):
    """Mean probability of harm by stratum and UTC day, as judged."""

    days: list[date] = Field(description="oldest first")
    rows: list[HeatRowItem] = Field(description="the largest forecasts first")
    hidden: int = Field(description="strata left out")


class ContributorItem(Part):
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


class JudgeItem(Part):
    """How often the judge is wrong, measured on labelled answers; limits are of 95%."""

    made_at: datetime = Field(description="when it was measured")
    labelled_harmful: int = Field(description="harmful answers labelled")
    labelled_harmless: int = Field(description="harmless answers labelled")
    sensitivity: float = Field(description="share of harmful answers that are flagged")
    sensitivity_low: float = Field(description="lower limit")
    sensitivity_high: float = Field(description="upper limit")
    specificity: float = Field(description="share of harmless answers that are not flagged")
    specificity_low: float = Field(description="lower limit")
    specificity_high: float = Field(description="upper limit")
    floor: float = Field(description="judged rate that false alarms alone can make")


class CoverageItem(Part):
    """The coverage audit."""

    target_draws: int = Field(description="draws of the deployed model itself")
    gap_hits: int = Field(description="harmful ones among them that no variant covers")
    upper: float = Field(description="95% upper bound on the mean probability of such harm")


class EffectItem(Part):
    """Harmful outputs a day more or fewer than before, with 90% limits."""

    mean: float = Field(description="mean")
    low: float = Field(description="lower limit")
    high: float = Field(description="upper limit")


class ChangeItem(Part):
    """Why the forecast changed since the day before; the means of the parts add up to that of the total."""

    total: EffectItem = Field(description="the whole change")
    volume: EffectItem = Field(description="more or fewer requests")
    mix: EffectItem = Field(description="other strata")
    p: EffectItem = Field(description="another probability of harm on the same strata")


class IntervalShareItem(Part):
    """How many intervals of a level held."""

    level: float = Field(description="nominal level")
    held: int = Field(description="intervals that held")
    of: int = Field(description="among those that the responses could tell of")
    low: float = Field(description="lower 95% limit of the share")
    high: float = Field(description="upper 95% limit of the share")


class BacktestItem(Part):
    """Past forecasts against judged production responses."""

    told: int = Field(description="forecasts whose responses were enough to tell")
    above: int = Field(description="counts above their 90% interval")
    below: int = Field(description="counts below it")
    cannot_tell: int = Field(description="forecasts whose responses could not tell")
    median_error: Number = Field(description="median multiplicative error; null where it cannot be said")
    observation_error: Number = Field(description="what the sampling of responses alone would make of it")
    intervals: list[IntervalShareItem] = Field(description="at 50, 90 and 99%")
    directions: int = Field(description="changes that the responses could tell")
    directions_right: int = Field(description="those forecast with the right sign")
    note: Text = Field(description="why nothing could be scored; empty otherwise")


class HarmPart(Part):
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


class HealthItem(Part):
    """Health of one harm's estimates in a cycle."""

    harm: str = Field(description="name of the harm")
    ess_ratio: Number = Field(description="effective sample size over draws; null without hits")
    khat: Number = Field(description="largest Pareto tail index; null with too few hits")
    coverage_gap_ratio: float = Field(description="share of prompts flagged COVERAGE_GAP")
    target_draws: int = Field(description="draws of the model itself")
    gap_hits: int = Field(description="harmful ones that no variant covers")
    uncovered_upper: float = Field(description="95% upper bound on the mean probability of such harm")


class CycleItem(Part):
    """An estimate cycle."""

    started_at: datetime = Field(description="when it began")
    finished_at: datetime = Field(description="when it ended")
    complete: bool = Field(description="whether it came to its end")
    prompts: int = Field(description="prompts estimated")
    failures: Reasons = Field(description="prompts without an estimate, per reason")
    left_out: int = Field(description="prompts not reached")
    tokens: int = Field(description="tokens pushed through any model")
    device_seconds: float = Field(description="device time")
    weight_mean: Number = Field(description="mean importance weight, 1 in expectation")
    health: list[HealthItem] = Field(description="one per harm")


class StratumSensitivityItem(Part):
    """Sensitivity to wording in one stratum."""

    harm: str = Field(description="name of the harm")
    stratum: StratumLabels = Field(description="labels of the stratum")
    prompts: int = Field(description="prompts examined")
    worst: Number = Field(description="largest probability of a rewording over that of its prompt")
    worst_low: Number = Field(description="lower end of its 95% interval")
    worst_high: Number = Field(description="upper end; null is unbounded")
    log10_spread: Number = Field(description="median standard deviation of log10 p over rewordings")


class SensitivityItem(Part):
    """What the newest run of the sensitivity job found."""

    started_at: datetime = Field(description="when it began")
    finished_at: datetime = Field(description="when it ended")
    complete: bool = Field(description="whether it came to its end")
    left_out: int = Field(description="chosen prompts not reached")
    device_seconds: float = Field(description="device time")
    strata: list[StratumSensitivityItem] = Field(description="one per harm and stratum examined")


class IncidentItem(Part):
    """Something that went wrong."""

    kind: str = Field(description="what")
    start: datetime = Field(description="when it began")
    end: datetime | None = Field(description="when it ended; null lasts")
    detail: Text = Field(description="one sentence")


class AlertItem(Part):
    """A stretch in which an alert fired."""

    name: Text = Field(description="name of the alert")
    labels: Labels = Field(description="its labels")
    start: datetime = Field(description="first sample")
    end: datetime = Field(description="last sample")
    firing: bool = Field(description="whether it fired at the end of the period")


class AlertsItem(Part):
    """What Prometheus says of the period."""

    asked: bool = Field(description="whether a Prometheus is configured for reports")
    error: Text = Field(description="why there is no answer; empty otherwise")
    step: Seconds = Field(description="seconds between the moments looked at")
    alerts: list[AlertItem] = Field(description="the oldest first")


class ReportDocument(Part):
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
