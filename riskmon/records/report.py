"""A deployment report as nouns: everything that it shows, gathered at one moment, before any format.

Text of production is nowhere in it but in the optional excerpts, which every `repr` leaves out. None is unknown, and
never zero. Times are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from riskmon.records.backtest import Backtest
from riskmon.records.change import Change
from riskmon.records.cycles import CycleSummary
from riskmon.records.forecasts import Forecast
from riskmon.records.plans import Plan
from riskmon.records.sensitivity import SensitivitySummary
from riskmon.records.snapshot import Counters
from riskmon.records.traffic import Stratum, TrafficStatus


class ReportCause(StrEnum):
    """Why a report was written."""

    REQUEST = "request"
    SCHEDULE = "schedule"
    RELEASE = "release"


class BudgetVerdict(StrEnum):
    """A forecast of 24 hours against the budget of a day."""

    OVER = "over"  # the expected number exceeds it
    REACHES = "reaches"  # the 90% interval does
    WITHIN = "within"
    NO_BUDGET = "no budget"
    UNKNOWN = "unknown"  # there is no forecast


class Trust(StrEnum):
    """How far a forecast can be relied on."""

    SOUND = "sound"
    CAUTION = "caution"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason for caution or doubt, as a sentence for people; `harm` None concerns all."""

    trust: Trust
    text: str
    harm: str | None = None


@dataclass(frozen=True, slots=True)
class HarmScope:
    """What counts as harm: the judge's kind, the model, preset or rule behind it, and its threshold.

    `source` never holds a rubric's or a pattern's text, which may itself be sensitive.
    """

    name: str
    judge: str
    source: str
    threshold: float
    budget_daily: float | None


@dataclass(frozen=True, slots=True)
class Scope:
    """What is estimated.

    Attributes:
        harms: in configured order.
        max_new_tokens: token cap of an answer; harm behind it is not seen.
        temperature, top_p, top_k, min_p: the deployed sampler as configured.
        labels: names of the labels that split the traffic.
        lookback: traffic and estimates of this span make a forecast. window: length of a counting window.
    """

    harms: tuple[HarmScope, ...]
    max_new_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    labels: tuple[str, ...]
    lookback: timedelta
    window: timedelta


@dataclass(frozen=True, slots=True)
class ExpertVersion:
    """An unsafe variant; the fingerprint covers its settings and the files it is loaded from."""

    name: str
    kind: str
    ladder: tuple[float, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What the figures were made with.

    Attributes:
        riskmon: its version.
        target: folder's name or hub id of the deployed model. revision: pinned commit of a hub id.
        fingerprint: sixteen digits over the target's files, sampler and template; changes with a release.
        plans: in force when the report was made.
        config_sha256: of the canonical configuration, secrets left out.
    """

    riskmon: str
    target: str
    revision: str | None
    fingerprint: str
    experts: tuple[ExpertVersion, ...]
    plans: tuple[Plan, ...]
    config_sha256: str


@dataclass(frozen=True, slots=True)
class SampleTally:
    """Sampled prompts of windows that start at `since` or later.

    Attributes:
        sampled: still in the sample. estimated: those with an estimate. failed: those without, per reason.
        waiting: those not worked on yet.
    """

    since: datetime
    sampled: int
    estimated: int
    failed: Mapping[str, int]
    waiting: int


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """What was counted and what was left out.

    Attributes:
        requests: counted in the period. previous_requests: in the period before; None where the counts do not reach
            back so far.
        first_window: start of the first counting window in the store; None before there is one.
        tally: the sample of the period, as far as prompts are still stored.
        counters: totals since the store was made.
        status: of the source as last seen.
    """

    requests: int
    previous_requests: int | None
    first_window: datetime | None
    tally: SampleTally
    counters: Counters
    status: TrafficStatus | None


@dataclass(frozen=True, slots=True)
class Contributor:
    """A prompt that the forecast rests on.

    Attributes:
        weight: requests it stands for. contribution: weight * p, harmful outputs of the lookback.
        share: of the harm's sum of contributions.
        p: None below the judge's floor. ci_low, ci_high: 95% working interval. upper_bound: guaranteed.
        excerpt: redacted production text; None unless it is switched on, or where the text is gone.
    """

    prompt_id: str
    stratum: Stratum
    window_start: datetime
    weight: float
    p: float | None
    ci_low: float
    ci_high: float
    upper_bound: float
    contribution: float
    share: float
    n: int
    hits: int
    flags: tuple[str, ...]
    excerpt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HeatRow:
    """Mean probability of harm of one stratum by day; None on a day without an estimated prompt."""

    stratum: Stratum
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Mean p by stratum and UTC day, weighted by the requests that a prompt stands for.

    Attributes:
        days: oldest first. rows: the largest forecasts first, each with one value a day. hidden: strata left out.
    """

    days: tuple[date, ...]
    rows: tuple[HeatRow, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class JudgeMeasure:
    """How often a judge is wrong, measured on labelled answers; limits are of 95%.

    Attributes:
        floor: judged rate that false alarms alone can make, 95% upper limit.
    """

    made_at: datetime
    labelled_harmful: int
    labelled_harmless: int
    sensitivity: float
    sensitivity_low: float
    sensitivity_high: float
    specificity: float
    specificity_low: float
    specificity_high: float
    floor: float


@dataclass(frozen=True, slots=True)
class CoverageBound:
    """The coverage audit of a harm: draws of the target itself, uncovered harmful ones, 95% upper bound on their mean
    probability."""

    target_draws: int
    gap_hits: int
    upper: float


@dataclass(frozen=True, slots=True)
class HarmReport:
    """All about one harm.

    Attributes:
        total: of the next 24 hours over all strata; None before the first forecast.
        outlook: totals of each horizon. strata: of the next 24 hours, the largest first.
        previous: the total of 24 hours as forecast one period ago, or the oldest one since.
        history: totals of 24 hours in the period, the oldest first.
        contributors: the largest first.
        doubtful_share: part of the sum of contributions that rests on estimates flagged as wrong; None without any.
        observed: production responses judged, and harmful ones among them, since the store was made.
        change: why the forecast changed since the day before. backtest: of the totals.
    """

    scope: HarmScope
    verdict: BudgetVerdict
    total: Forecast | None
    outlook: tuple[Forecast, ...]
    strata: tuple[Forecast, ...]
    previous: Forecast | None
    history: tuple[Forecast, ...]
    heat: HeatMap
    contributors: tuple[Contributor, ...]
    doubtful_share: float | None
    judge: JudgeMeasure | None
    coverage: CoverageBound | None
    observed: tuple[int, int]
    change: Change | None
    backtest: Backtest | None

    @property
    def ratio(self) -> float | None:
        """The forecast over the one of a period ago; None where either is missing or the earlier one is 0."""
        if self.total is None or self.previous is None or self.previous.expected <= 0:
            return None
        return self.total.expected / self.previous.expected


class IncidentKind(StrEnum):
    """What went wrong in the period, as the store tells."""

    CYCLE_CUT_SHORT = "cycle cut short"
    CYCLE_LOST = "cycle lost"
    NO_COUNTS = "no requests counted"
    SOURCE_DOWN = "source down"


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that went wrong; `end` None lasts."""

    kind: IncidentKind
    start: datetime
    end: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Alert:
    """A stretch in which an alert fired, to the resolution of the query; `firing` at its end of the period."""

    name: str
    labels: Mapping[str, str]
    start: datetime
    end: datetime
    firing: bool


@dataclass(frozen=True, slots=True)
class AlertLog:
    """What Prometheus says of the period; `asked` is False without one, and `error` says why there is no answer."""

    asked: bool = False
    error: str = ""
    step: timedelta = timedelta(minutes=1)
    alerts: tuple[Alert, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploymentReport:
    """A whole report over [since, made_at).

    Attributes:
        trust: of all harms together, the worst. findings: why, the gravest first.
        cycles: finished in the period, the oldest first.
        limitations: sentences that hold for this very report.
        excerpts: characters of an excerpt; 0 shows none.
    """

    made_at: datetime
    since: datetime
    cause: ReportCause
    forecast_at: datetime | None
    scope: Scope
    versions: Versions
    traffic: TrafficReport
    harms: tuple[HarmReport, ...]
    trust: Trust
    findings: tuple[Finding, ...]
    cycles: tuple[CycleSummary, ...]
    sensitivity: SensitivitySummary | None
    incidents: tuple[Incident, ...]
    job_failures: Mapping[str, int]
    alerts: AlertLog
    limitations: tuple[str, ...]
    excerpts: int = 0

    @property
    def name(self) -> str:
        """Name of its files, without the ending."""
        return f"report-{self.made_at:%Y%m%dT%H%M%SZ}"
