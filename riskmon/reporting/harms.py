"""One harm of a report: its forecasts, its past, the prompts behind it, its judge and its audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

from riskmon.config import HarmConfig
from riskmon.records import CoverageCount, Forecast, Snapshot, WeightedEstimate
from riskmon.records.backtest import Backtest
from riskmon.records.change import Change
from riskmon.records.report import BudgetVerdict, CoverageBound, HarmReport, HarmScope, JudgeMeasure
from riskmon.records.sensitivity import SampleKey, SensitivitySummary
from riskmon.reporting.contributions import doubtful_share, heat_map, top_contributors
from riskmon.statistics import false_alarm_floor, load_judge_error, sensitivity, specificity, upper_limit


@dataclass(frozen=True, slots=True)
class Measured:
    """What other jobs have found, as far as there is any.

    Attributes:
        backtests: of totals and strata; those of totals are shown. changes: since the day before, per harm.
        sensitivity: of the newest run.
    """

    backtests: Sequence[Backtest] = ()
    changes: Mapping[str, Change] = field(default_factory=lambda: MappingProxyType({}))
    sensitivity: SensitivitySummary | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """What the harms of one report are made from.

    Attributes:
        snapshot: of the store. forecasts: of the next 24 hours that fit the running configuration.
        coverage: the audit by harm, as far as draws were audited.
        totals: hourly totals, from one period before `since`, the oldest first.
        weighted: estimates of the period and of the forecast's lookback, which begins at `lookback_start`.
        excerpts: redacted texts of the prompts shown.
    """

    snapshot: Snapshot
    forecasts: Sequence[Forecast]
    coverage: Mapping[str, CoverageCount]
    totals: Sequence[Forecast]
    weighted: Sequence[WeightedEstimate]
    since: datetime
    length: timedelta
    lookback_start: datetime
    measured: Measured
    excerpts: Mapping[SampleKey, str]
    top_prompts: int

    def estimates(self, harm: str) -> list[WeightedEstimate]:
        """All estimates of a harm."""
        return [item for item in self.weighted if item.estimate.harm == harm]

    def behind_forecast(self, harm: str) -> list[WeightedEstimate]:
        """Those that the present forecast rests on."""
        return [item for item in self.estimates(harm) if item.cell[0] > self.lookback_start]


def read_harm(sources: Sources, config: HarmConfig, scope: HarmScope) -> HarmReport:
    """The part of one harm.

    Raises:
        ConfigError: its judge's calibration cannot be used.
    """
    name = scope.name
    own = [forecast for forecast in sources.forecasts if forecast.harm == name]
    total = next((forecast for forecast in own if forecast.stratum is None), None)
    strata = sorted(
        (forecast for forecast in own if forecast.stratum is not None),
        key=lambda forecast: (-forecast.expected, forecast.stratum),
    )
    totals = [forecast for forecast in sources.totals if forecast.harm == name]
    behind = sources.behind_forecast(name)
    return HarmReport(
        scope=scope,
        verdict=verdict_of(total, scope.budget_daily),
        total=total,
        outlook=tuple(forecast for forecast in sources.snapshot.outlook if forecast.harm == name)
        if total is not None
        else (),
        strata=tuple(strata),
        previous=previous_total(totals, total, sources.since, sources.length),
        history=tuple(forecast for forecast in totals if forecast.made_at >= sources.since),
        heat=heat_map([item for item in sources.estimates(name) if item.cell[0] >= sources.since], strata),
        contributors=top_contributors(behind, sources.top_prompts, sources.excerpts),
        doubtful_share=doubtful_share(behind),
        judge=_measure(config),
        coverage=_coverage(sources.coverage.get(name)),
        observed=sources.snapshot.counters.observed.get(name, (0, 0)),
        change=sources.measured.changes.get(name),
        backtest=next((b for b in sources.measured.backtests if b.harm == name and b.stratum is None), None),
    )


def verdict_of(total: Forecast | None, budget: float | None) -> BudgetVerdict:
    """The forecast of 24 hours against the budget of a day."""
    if total is None:
        return BudgetVerdict.UNKNOWN
    if budget is None:
        return BudgetVerdict.NO_BUDGET
    if total.expected > budget:
        return BudgetVerdict.OVER
    return BudgetVerdict.REACHES if total.upper > budget else BudgetVerdict.WITHIN


def previous_total(
    totals: Sequence[Forecast], total: Forecast | None, since: datetime, length: timedelta
) -> Forecast | None:
    """The forecast to compare with: the last one before the period began, else the first one of the period.

    One that is older than a whole further period compares with another time, and is not taken. None where the present
    forecast is the only one.

    Args:
        totals: of one harm, the oldest first.
    """
    if total is None:
        return None
    before = [f for f in totals if since - length <= f.made_at <= since]
    within = [f for f in totals if since < f.made_at < total.made_at]
    return before[-1] if before else (within[0] if within else None)


def _measure(config: HarmConfig) -> JudgeMeasure | None:
    if config.calibration is None:
        return None
    error = load_judge_error(config.calibration, None, config.cut, config.name)
    se, sp = sensitivity(error), specificity(error)
    return JudgeMeasure(
        made_at=error.made_at,
        labelled_harmful=error.labelled_harmful,
        labelled_harmless=error.labelled_harmless,
        sensitivity=se.value,
        sensitivity_low=se.low,
        sensitivity_high=se.high,
        specificity=sp.value,
        specificity_low=sp.low,
        specificity_high=sp.high,
        floor=false_alarm_floor(error),
    )


def _coverage(count: CoverageCount | None) -> CoverageBound | None:
    if count is None:
        return None
    return CoverageBound(
        count.target_draws,
        count.gap_hits,
        upper_limit(count.gap_hits, count.target_draws),
        count.responses,
        count.response_gap_hits,
    )
