"""Why the figures can be believed: judge, coverage, back-test, cycles, sensitivity to wording."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from riskmon.publish.answer import Answer, Number, Text
from riskmon.publish.reports.document.fields import Reasons, StratumLabels


class JudgeItem(Answer):
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


class CoverageItem(Answer):
    """The coverage audit."""

    target_draws: int = Field(description="draws of the deployed model itself")
    gap_hits: int = Field(description="harmful ones among them that no variant covers")
    upper: float = Field(description="95% upper bound on the mean probability of such harm")
    responses: int = Field(description="judged production responses")
    response_gap_hits: int = Field(description="harmful ones among them that no variant covers")


class IntervalShareItem(Answer):
    """How many intervals of a level held."""

    level: float = Field(description="nominal level")
    held: int = Field(description="intervals that held")
    of: int = Field(description="among those that the responses could tell of")
    low: float = Field(description="lower 95% limit of the share")
    high: float = Field(description="upper 95% limit of the share")


class BacktestItem(Answer):
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


class HealthItem(Answer):
    """Health of one harm's estimates in a cycle."""

    harm: str = Field(description="name of the harm")
    ess_ratio: Number = Field(description="effective sample size over draws; null without hits")
    khat: Number = Field(description="largest Pareto tail index; null with too few hits")
    coverage_gap_ratio: float = Field(description="share of prompts flagged COVERAGE_GAP")
    target_draws: int = Field(description="draws of the model itself")
    gap_hits: int = Field(description="harmful ones that no variant covers")
    uncovered_upper: float = Field(description="95% upper bound on the mean probability of such harm")


class CycleItem(Answer):
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


class StratumSensitivityItem(Answer):
    """Sensitivity to wording in one stratum."""

    harm: str = Field(description="name of the harm")
    stratum: StratumLabels = Field(description="labels of the stratum")
    prompts: int = Field(description="prompts examined")
    worst: Number = Field(description="largest probability of a rewording over that of its prompt")
    worst_low: Number = Field(description="lower end of its 95% interval")
    worst_high: Number = Field(description="upper end; null is unbounded")
    log10_spread: Number = Field(description="median standard deviation of log10 p over rewordings")


class SensitivityItem(Answer):
    """What the newest run of the sensitivity job found."""

    started_at: datetime = Field(description="when it began")
    finished_at: datetime = Field(description="when it ended")
    complete: bool = Field(description="whether it came to its end")
    left_out: int = Field(description="chosen prompts not reached")
    device_seconds: float = Field(description="device time")
    strata: list[StratumSensitivityItem] = Field(description="one per harm and stratum examined")
