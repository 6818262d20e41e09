"""Reports made by hand: one with everything in it, one of an empty store. Every value differs from every other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from support.snapshots import CYCLE, FORECASTS, NOW, stratum
from support.store_records import plan

from riskmon.records import Counters, Forecast, Horizon, TrafficStatus, VarianceShares
from riskmon.records.backtest import Backtest, IntervalShare, Verdict
from riskmon.records.backtest import BacktestRow as Row
from riskmon.records.change import Change, Effect
from riskmon.records.report import (
    Alert,
    AlertLog,
    BudgetVerdict,
    Contributor,
    CoverageBound,
    DeploymentReport,
    ExpertVersion,
    Finding,
    HarmReport,
    HarmScope,
    HeatMap,
    HeatRow,
    Incident,
    IncidentKind,
    JudgeMeasure,
    ReportCause,
    SampleTally,
    Scope,
    TrafficReport,
    Trust,
    Versions,
)
from riskmon.records.sensitivity import SensitivitySummary, StratumSensitivity

SINCE = NOW - timedelta(days=7)
HOUR = timedelta(hours=1)

MISUSE = HarmScope("misuse", "regex", "pattern 0a1b2c3d4e5f", 0.5, 10.0)
INSULT = HarmScope("insult", "toxicity", "built in", 0.75, 500.0)

SCOPE = Scope(
    harms=(MISUSE, INSULT),
    max_new_tokens=150,
    temperature=0.8,
    top_p=0.95,
    top_k=40,
    min_p=0.0,
    labels=("route", "model"),
    lookback=timedelta(hours=24),
    window=HOUR,
)

VERSIONS = Versions(
    riskmon="0.1.0",
    target="HuggingFaceTB/SmolLM2-135M-Instruct",
    revision="7e27bd9f95328f0f3b08261d1252705110c806f8",
    fingerprint="91c0ffee12345678",
    experts=(
        ExpertVersion("persona", "system_prompt", (0.5, 1.0), "aa11bb22cc33dd44"),
        ExpertVersion("unsafe_lora", "lora", (0.25, 0.75), "ee55ff6677889900"),
    ),
    plans=(plan(NOW - 3 * HOUR, None), plan(NOW - 3 * HOUR, stratum("agents"))),
    config_sha256="5f2a" * 16,
)


def _whole(forecast: Forecast, **changes: object) -> Forecast:
    """With everything that a forecast may know."""
    spread = {
        "lower_50": 0.8 * forecast.expected,
        "upper_50": 1.2 * forecast.expected,
        "lower_99": 0.3 * forecast.lower,
        "upper_99": 1.5 * forecast.upper,
        "over_budget_probability": 0.983,
        "variance": VarianceShares(0.11, 0.42, 0.23, 0.05, 0.19),
        "unseen_share": 0.08,
    }
    return replace(forecast, **{**spread, **changes})  # type: ignore[arg-type]


TOTAL = _whole(FORECASTS[0])
INSULTS = _whole(
    FORECASTS[5], over_budget_probability=0.021, variance=VarianceShares(0.5, 0.2, 0.1, 0.0, 0.2)
)

HISTORY = tuple(
    replace(
        TOTAL,
        made_at=NOW - timedelta(hours=hours),
        expected=20 + 7.4 * (1 - hours / 168) + (hours % 24) / 12,
        lower=11 + (hours % 24) / 12,
        upper=38 + 8 * (1 - hours / 168),
    )
    for hours in range(167, 0, -1)
    if not 70 < hours < 82
)

BACKTEST_ROWS = tuple(
    Row(
        made_at=NOW - timedelta(days=days),
        harm="misuse",
        stratum=None,
        expected=20.0 + days,
        lower=9.0,
        upper=41.0,
        requests=1_200_000,
        judged=48_000.0,
        harmful=1.0 + days % 2,
        observed=25.0 + days,
        observed_low=3.0,
        observed_high=90.0,
        chance_lower=0.6,
        chance_upper=0.4,
        told=days % 3 != 0,
        verdict=Verdict.WITHIN if days % 3 else Verdict.CANNOT_TELL,
        error=1.25,
        error_at_least=1.0,
    )
    for days in range(12, 1, -1)
)
BACKTEST = Backtest(
    harm="misuse",
    stratum=None,
    rows=BACKTEST_ROWS,
    told=7,
    above=1,
    below=0,
    median_error=1.37,
    observation_error=1.21,
    errors=6,
    intervals=(
        IntervalShare(0.5, 4, 7, 0.184, 0.901),
        IntervalShare(0.9, 6, 7, 0.421, 0.996),
        IntervalShare(0.99, 7, 7, 0.59, 1.0),
    ),
    directions=5,
    directions_right=4,
)
CHANGE = Change(Effect(5.2, 1.1, 9.8), Effect(0.9, 0.4, 1.5), Effect(-0.3, -0.8, 0.1), Effect(4.6, 0.7, 8.9))


def contributor(place: int, **changes: object) -> Contributor:
    fields: dict[str, object] = {
        "prompt_id": f"req-{8_000 + 37 * place}",
        "stratum": stratum("agents" if place % 2 else "chat"),
        "window_start": NOW - place * HOUR,
        "weight": 480.5 - place,
        "p": 0.0147 / (place + 1),
        "ci_low": 0.004 / (place + 1),
        "ci_high": 0.031 / (place + 1),
        "upper_bound": 0.07,
        "contribution": 7.1 / (place + 1),
        "share": 0.26 / (place + 1),
        "n": 500,
        "hits": 31 - place,
        "flags": ("FEW_HITS",) if place % 3 else (),
    }
    return Contributor(**{**fields, **changes})  # type: ignore[arg-type]


DAYS = tuple(date(2026, 3, 3) + timedelta(days=day) for day in range(7))
HEAT = HeatMap(
    days=DAYS,
    rows=tuple(
        HeatRow(
            stratum(route),
            tuple(None if (day, route) == (2, "summarise") else base * (1 + day / 2) for day in range(7)),
        )
        for route, base in (("agents", 6e-5), ("chat", 3e-6), ("summarise", 9e-8))
    ),
    hidden=0,
)

HARM = HarmReport(
    scope=MISUSE,
    verdict=BudgetVerdict.OVER,
    total=TOTAL,
    outlook=(
        _whole(replace(FORECASTS[0], expected=11.6, lower=4.0, upper=21.0), horizon=Horizon.TODAY),
        TOTAL,
        _whole(
            replace(FORECASTS[0], expected=188.0, lower=101.0, upper=322.0, requests=8_900_000.0),
            horizon=Horizon.WEEK,
        ),
    ),
    strata=FORECASTS[1:5],
    previous=HISTORY[0],
    history=HISTORY,
    heat=HEAT,
    contributors=tuple(contributor(place) for place in range(20)),
    doubtful_share=0.14,
    judge=JudgeMeasure(
        datetime(2026, 2, 11, 9, tzinfo=UTC), 212, 5_400, 0.934, 0.891, 0.963, 0.9991, 0.9979, 0.9997, 0.00172
    ),
    coverage=CoverageBound(82_100, 21, 3.4e-4),
    observed=(20_011, 1),
    change=CHANGE,
    backtest=BACKTEST,
)
PLAIN_HARM = HarmReport(
    scope=INSULT,
    verdict=BudgetVerdict.WITHIN,
    total=INSULTS,
    outlook=(INSULTS,),
    strata=FORECASTS[6:10],
    previous=None,
    history=(),
    heat=HeatMap((), (), 0),
    contributors=(),
    doubtful_share=None,
    judge=None,
    coverage=None,
    observed=(0, 0),
    change=None,
    backtest=None,
)

FULL_REPORT = DeploymentReport(
    made_at=NOW,
    since=SINCE,
    cause=ReportCause.RELEASE,
    forecast_at=NOW - timedelta(minutes=2),
    scope=SCOPE,
    versions=VERSIONS,
    traffic=TrafficReport(
        requests=8_731_385,
        previous_requests=8_402_117,
        first_window=SINCE - timedelta(days=30),
        tally=SampleTally(SINCE, 33_600, 30_211, {"too_long": 44, "not_finite": 3}, 3_342),
        counters=Counters(
            consumed=98_731_402,
            sampled=434_117,
            rejected={"not_json": 12, "bad_timestamp": 5},
            estimated_prompts=96_300,
            estimate_failures={"too_long": 144},
            estimate_tokens=4_100_233_019,
            estimate_device_seconds=91_422.5,
            job_failures={"estimate": 2},
        ),
        status=TrafficStatus(up=True, lag_messages=7, at=NOW),
    ),
    harms=(HARM, PLAIN_HARM),
    trust=Trust.CAUTION,
    findings=(
        Finding(
            Trust.CAUTION,
            "The unsafe variants miss harm on 1.22% of the prompts, so the number may be too low.",
            "misuse",
        ),
        Finding(
            Trust.CAUTION,
            "The judge was never measured, so its false alarms are part of the number.",
            "insult",
        ),
    ),
    cycles=(replace(CYCLE, finished_at=NOW - 9 * HOUR, complete=False), CYCLE),
    sensitivity=SensitivitySummary(
        started_at=NOW - 11 * HOUR,
        finished_at=NOW - 10 * HOUR,
        prompts=(),
        strata=(
            StratumSensitivity("misuse", stratum("agents"), 5, 41.5, 6.25, 288.0, 0.73),
            StratumSensitivity("insult", stratum("chat"), 3, None, 1.5, None, None),
        ),
        failures={},
        left_out=1,
        tokens=1_234_567,
        device_seconds=588.5,
        complete=True,
    ),
    incidents=(
        Incident(IncidentKind.NO_COUNTS, NOW - 82 * HOUR, NOW - 70 * HOUR, "no request was counted"),
        Incident(
            IncidentKind.CYCLE_CUT_SHORT, NOW - 10 * HOUR, NOW - 9 * HOUR, "1,642 estimated, 158 left out"
        ),
    ),
    job_failures={"estimate": 2, "report-webhook": 1},
    alerts=AlertLog(
        asked=True,
        alerts=(
            Alert(
                "RiskmonForecastOverBudget",
                {"harm": "misuse", "severity": "page"},
                NOW - 30 * HOUR,
                NOW,
                firing=True,
            ),
            Alert("RiskmonKafkaDown", {"severity": "ticket"}, NOW - 81 * HOUR, NOW - 71 * HOUR, firing=False),
        ),
    ),
    limitations=(
        "Only the first 150 tokens of an answer are measured; harm behind them is not seen.",
        "insult: harmful means that the judge toxicity says so. Its errors were never measured.",
    ),
)

EMPTY_REPORT = DeploymentReport(
    made_at=NOW,
    since=SINCE,
    cause=ReportCause.REQUEST,
    forecast_at=None,
    scope=replace(SCOPE, harms=(replace(MISUSE, budget_daily=None),), labels=()),
    versions=replace(VERSIONS, revision=None, experts=(), plans=()),
    traffic=TrafficReport(0, None, None, SampleTally(SINCE, 0, 0, {}, 0), Counters(), None),
    harms=(
        replace(
            PLAIN_HARM,
            scope=replace(MISUSE, budget_daily=None),
            verdict=BudgetVerdict.UNKNOWN,
            total=None,
            outlook=(),
            strata=(),
        ),
    ),
    trust=Trust.DOUBT,
    findings=(Finding(Trust.DOUBT, "There is no forecast yet."),),
    cycles=(),
    sensitivity=None,
    incidents=(),
    job_failures={},
    alerts=AlertLog(),
    limitations=("No request has been counted yet.",),
)
