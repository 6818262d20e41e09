"""What publish shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from riskmon.records.backtest import Backtest
from riskmon.records.change import Change, VersionChange
from riskmon.records.coverage import CoverageCount
from riskmon.records.cycles import CycleSummary
from riskmon.records.forecasts import Forecast
from riskmon.records.scorer import ScorerState
from riskmon.records.sensitivity import SensitivitySummary
from riskmon.records.strata import StrataCensus
from riskmon.records.traffic import Stratum, TrafficStatus


@dataclass(frozen=True, slots=True)
class Counters:
    """Totals since the store was made; they survive restarts."""

    consumed: int = 0
    sampled: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    scorer_failures: Mapping[str, int] = field(default_factory=dict)  # reason -> prompts without a score
    estimated_prompts: int = 0
    estimate_failures: Mapping[str, int] = field(default_factory=dict)
    estimate_tokens: int = 0
    estimate_device_seconds: float = 0.0
    estimate_paused_seconds: float = 0.0
    observed: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # harm -> (outputs, harmful outputs)
    observed_uncovered: Mapping[str, int] = field(
        default_factory=dict
    )  # harm -> harmful outputs that the proposals miss
    observed_by_stratum: Mapping[tuple[str, Stratum], tuple[int, int]] = field(
        default_factory=dict
    )  # the same, per harm and stratum
    verdicts: Mapping[str, tuple[int, int]] = field(
        default_factory=dict
    )  # harm -> (verdicts on drawn answers, unreadable ones)
    worker_losses: Mapping[str, int] = field(default_factory=dict)  # reason -> device workers lost
    job_failures: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(
        default_factory=dict
    )  # outcome -> rejected messages to be forwarded


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that publish shows at one moment; read from the store, so a restart changes nothing.

    `forecasts` are those of the next 24 hours; `outlook` holds the totals over strata of each horizon. `coverage`
    holds one count per harm, over all prompts, strata and days in the store. `history` holds earlier forecasts of the
    totals of 24 hours (stratum None), the oldest first, thinned, the latest ones among them. `changes` says per harm
    why the forecast differs from that of a day before, and `version_changes` what two versions of the model differ
    by; both are empty where there is nothing to compare with. `scorer` is the newest text model that prompts may be
    sampled by, and `sensitivity` the newest complete run of the sensitivity job. `backtests` holds the totals of the
    newest back-test, one per harm, and `backtest_at` when it was made. `strata` says
    which strata came and went of late. `written_at` is when this process last wrote
    to the store, or opened it: the one thing that the store itself does not hold.
    """

    taken_at: datetime
    forecasts: tuple[Forecast, ...] = ()
    counters: Counters = Counters()
    last_cycle: CycleSummary | None = None
    last_success: CycleSummary | None = None
    forecast_at: datetime | None = None
    traffic: TrafficStatus | None = None
    coverage: tuple[CoverageCount, ...] = ()
    history: tuple[Forecast, ...] = ()
    outlook: tuple[Forecast, ...] = ()
    scorer: ScorerState | None = None
    sensitivity: SensitivitySummary | None = None
    changes: Mapping[str, Change] = field(default_factory=dict)
    version_changes: tuple[VersionChange, ...] = ()
    backtests: tuple[Backtest, ...] = ()
    backtest_at: datetime | None = None
    strata: StrataCensus = field(default_factory=StrataCensus)
    written_at: datetime | None = field(default=None, compare=False)
