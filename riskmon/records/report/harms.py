"""All about one harm: forecasts, contributions, and the measures of its judge and of its coverage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from riskmon.records.backtest import Backtest
from riskmon.records.change import Change
from riskmon.records.forecasts import Forecast
from riskmon.records.report.contributions import Contributor, HeatMap
from riskmon.records.report.scope import HarmScope


class BudgetVerdict(StrEnum):
    """A forecast of 24 hours against the budget of a day."""

    OVER = "over"  # the expected number exceeds it
    REACHES = "reaches"  # the 90% interval does
    WITHIN = "within"
    NO_BUDGET = "no budget"
    UNKNOWN = "unknown"  # there is no forecast


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
    """The coverage audit of a harm.

    Attributes:
        target_draws: draws of the target itself, production responses among them where they count as such.
        gap_hits: harmful ones that no variant covers. upper: 95% upper bound on their mean probability.
        responses: judged production responses, whether they count or not. response_gap_hits: uncovered ones.
    """

    target_draws: int
    gap_hits: int
    upper: float
    responses: int = 0
    response_gap_hits: int = 0


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
