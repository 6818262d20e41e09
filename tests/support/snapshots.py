"""A realistic day as a hand-made snapshot: two harms, four strata, one harm over its budget.

Every value differs from every other, so that a swapped field shows.
"""

from datetime import UTC, datetime, timedelta

from riskmon.publish import ConfigState, Facts, HarmFacts
from riskmon.records import (
    Backtest,
    BacktestRow,
    Counters,
    CycleSummary,
    Flag,
    Forecast,
    HarmHealth,
    Horizon,
    IntervalShare,
    Snapshot,
    Stratum,
    TrafficStatus,
    VarianceShares,
)
from riskmon.records.backtest import Verdict
from riskmon.records.change import Change, Effect, VersionChange
from riskmon.records.scorer import ScorerState
from riskmon.records.sensitivity import SensitivitySummary, StratumSensitivity
from riskmon.records.strata import StrataCensus, StratumChange, StratumEvent

NOW = datetime(2026, 3, 9, 14, 7, 21, tzinfo=UTC)

FACTS = Facts(
    version="0.1.0",
    model="HuggingFaceTB/SmolLM2-135M-Instruct",
    harms=(HarmFacts("misuse", "regex", 10.0), HarmFacts("insult", "toxicity", 500.0)),
    intake_mode="stream",
    stratum_labels=("route", "model"),
    reject_reasons=("not_json", "oversized"),
    failure_reasons=("too_long", "not_finite"),
    jobs=("estimate", "forecast", "purge"),
    worker_losses=("died", "deadline"),
    dead_letter_outcomes=("sent", "cut", "failed"),
    estimate_schedule="0 */4 * * *",
    forecast_schedule="*/5 * * * *",
    state=ConfigState(NOW - timedelta(days=3, minutes=17)),
)


def stratum(route: str, model: str = "chat-v3") -> Stratum:
    return Stratum((("route", route), ("model", model)))


def forecast(harm: str, cell: Stratum | None, numbers: tuple[float, ...], **changes: object) -> Forecast:
    """`numbers`: expected, lower, upper, any, requests, mean p, its upper limit, prompts, hits."""
    expected, lower, upper, some, requests, p, p_upper, prompts, hits = numbers
    fields: dict[str, object] = {
        "harm": harm,
        "stratum": cell,
        "made_at": NOW - timedelta(minutes=2),
        "expected": expected,
        "lower": lower,
        "upper": upper,
        "any_probability": some,
        "requests": requests,
        "harm_probability": p,
        "harm_probability_upper": p_upper,
        "worst_query_probability": 40 * p,
        "prompts": int(prompts),
        "hits": int(hits),
        "basis": "requests of the last 24 h",
        "lower_50": lower + 0.3 * (expected - lower),
        "upper_50": expected + 0.3 * (upper - expected),
        "lower_99": 0.4 * lower,
        "upper_99": 1.7 * upper,
        "requests_stderr": requests / 9,
        "harm_probability_stderr": p / 7,
    }
    return Forecast(**{**fields, **changes})  # type: ignore[arg-type]


FORECASTS = (
    forecast(
        "misuse",
        None,
        (27.4, 14, 46, 1 - 1.3e-12, 1_284_300, 2.13e-5, 3.9e-5, 1_642, 391),
        worst_query_probability=0.0147,
        over_budget_probability=0.993,
        variance=VarianceShares(volume=0.11, prompts=0.52, samples=0.19, judge=0.08, chance=0.1),
        unseen_share=0.13,
        retries=10,
        retry_probability=1.97e-4,
        retry_lower=1.02e-4,
        retry_upper=3.71e-4,
    ),
    forecast("misuse", stratum("agents"), (19.6, 8, 37, 0.99999, 96_400, 2.03e-4, 4.1e-4, 405, 288)),
    forecast("misuse", stratum("chat"), (6.71, 2, 13, 0.9988, 871_900, 7.7e-6, 1.4e-5, 612, 84)),
    forecast(
        "misuse", stratum("chat", "chat-v4-canary"), (1.02, 0, 4, 0.639, 61_200, 1.67e-5, 5.2e-5, 214, 17)
    ),
    forecast(
        "misuse",
        stratum("summarise"),
        (0.0712, 0, 1, 0.0687, 254_800, 2.8e-7, 3.1e-6, 411, 2),
        worst_query_probability=None,
    ),
    forecast(
        "insult",
        None,
        (318, 204, 471, 1.0, 1_284_300.5, 2.48e-4, 3.6e-4, 1_643, 2_107),
        worst_query_probability=0.0312,
        over_budget_probability=0.037,
        variance=VarianceShares(volume=0.61, prompts=0.16, samples=0.14, judge=0.0, chance=0.09),
        unseen_share=0.04,
    ),
    forecast("insult", stratum("chat"), (249, 151, 388, 0.999999, 871_900.5, 2.86e-4, 4.3e-4, 613, 1_344)),
    forecast("insult", stratum("agents"), (38.2, 21, 62, 0.9999, 96_400.5, 3.96e-4, 6.2e-4, 406, 517)),
    forecast(
        "insult", stratum("chat", "chat-v4-canary"), (24.9, 9, 49, 0.998, 61_200.5, 4.07e-4, 7.7e-4, 215, 201)
    ),
    forecast("insult", stratum("summarise"), (5.61, 1, 12, 0.989, 254_800.5, 2.2e-5, 4.7e-5, 409, 45)),
)

OUTLOOK = (
    forecast(
        "misuse",
        None,
        (25.9, 15, 41, 1 - 1.5e-11, 1_214_900, 2.13e-5, 3.9e-5, 1_642, 391),
        horizon=Horizon.TODAY,
        over_budget_probability=0.991,
    ),
    FORECASTS[0],
    forecast(
        "misuse",
        None,
        (193.5, 101, 322, 1.0, 9_083_000, 2.13e-5, 3.9e-5, 1_642, 391),
        horizon=Horizon.WEEK,
        over_budget_probability=0.985,
    ),
    forecast(
        "insult",
        None,
        (301, 197, 433, 1.0, 1_214_900, 2.48e-4, 3.6e-4, 1_643, 2_107),
        horizon=Horizon.TODAY,
        over_budget_probability=0.022,
    ),
    FORECASTS[5],
    forecast(
        "insult",
        None,
        (2_254, 1_401, 3_390, 1.0, 9_083_000, 2.48e-4, 3.6e-4, 1_643, 2_107),
        horizon=Horizon.WEEK,
        over_budget_probability=0.041,
    ),
)
NO_FLAGS = dict.fromkeys(Flag, 0)

CYCLE = CycleSummary(
    started_at=datetime(2026, 3, 9, 12, 0, 1, tzinfo=UTC),
    finished_at=datetime(2026, 3, 9, 12, 26, 31, tzinfo=UTC),
    prompts=1_642,
    failures={"too_long": 3, "not_finite": 1},
    left_out=158,
    tokens=71_233_804,
    device_seconds=1_583.25,
    weight_mean=0.9871,
    path_discrepancy=0.0021,
    health=(
        HarmHealth(
            "misuse",
            0.214,
            0.58,
            0.0122,
            82_100,
            21,
            3.4e-4,
            {**NO_FLAGS, Flag.COVERAGE_GAP: 20, Flag.NO_HITS: 1_251},
        ),
        HarmHealth("insult", 0.437, 0.31, 0.0, 82_101, 0, 3.65e-5, {**NO_FLAGS, Flag.TRUNCATED: 4}),
    ),
    complete=True,
)

SENSITIVITY = SensitivitySummary(
    started_at=datetime(2026, 3, 9, 3, 30, 2, tzinfo=UTC),
    finished_at=datetime(2026, 3, 9, 3, 39, 27, tzinfo=UTC),
    prompts=(),
    strata=(
        StratumSensitivity("misuse", stratum("agents"), 3, 12.5, 4.25, 61.0, 0.82),
        StratumSensitivity("misuse", stratum("chat"), 1, None, 0.0, None, None),
        StratumSensitivity("insult", stratum("chat"), 2, 1.75, 1.125, 2.5, 0.13),
    ),
    failures={"too_long": 1},
    left_out=1,
    tokens=3_301_200,
    device_seconds=540.5,
    complete=True,
)

CHANGES = {
    "misuse": Change(
        total=Effect(12.1, 2.5, 24.6),
        volume=Effect(3.2, 1.1, 5.7),
        mix=Effect(0.9, -0.4, 2.2),
        p=Effect(8.0, -1.6, 20.3),
    ),
    # The forecasts of an earlier riskmon: no standard errors.
    "insult": Change(
        total=Effect(-41.5, None, None),
        volume=Effect(-60.0, None, None),
        mix=Effect(0.0, None, None),
        p=Effect(18.5, None, None),
    ),
}

VERSION_CHANGE = VersionChange(
    "misuse",
    "model",
    "chat-v3",
    "chat-v4-canary",
    Change(
        total=Effect(-25.3, -44.0, -11.7),
        volume=Effect(-26.4, -45.1, -13.8),
        mix=Effect(-0.7, -1.9, 0.3),
        p=Effect(1.8, -2.9, 7.4),
    ),
)


def backtest(harm: str, verdicts: str, **changes: object) -> Backtest:
    """A total's back-test; a day each of `verdicts`: w within, a above, b below, ? cannot tell, all but ? told."""
    meaning = {"w": Verdict.WITHIN, "a": Verdict.ABOVE, "b": Verdict.BELOW, "?": Verdict.CANNOT_TELL}
    rows = tuple(_backtest_row(harm, day, meaning[letter]) for day, letter in enumerate(verdicts))
    held, told = verdicts.count("w"), len(verdicts) - verdicts.count("?")
    fields: dict[str, object] = {
        "harm": harm,
        "stratum": None,
        "rows": rows,
        "told": told,
        "above": verdicts.count("a"),
        "below": verdicts.count("b"),
        "median_error": None,
        "observation_error": None,
        "errors": 0,
        "intervals": tuple(
            IntervalShare(level, *counted, 0.25, 1.0)
            for level, counted in ((0.5, (held // 2, told)), (0.9, (held, told)), (0.99, (told, told)))
        ),
        "directions": 0,
        "directions_right": 0,
    }
    return Backtest(**{**fields, **changes})  # type: ignore[arg-type]


def _backtest_row(harm: str, day: int, verdict: Verdict) -> BacktestRow:
    told = verdict is not Verdict.CANNOT_TELL
    return BacktestRow(
        made_at=NOW - timedelta(days=30 - day),
        harm=harm,
        stratum=None,
        expected=25.0,
        lower=12.0,
        upper=44.0,
        requests=1_200_000,
        judged=60_000.0,
        harmful=1.0,
        observed=20.0,
        observed_low=0.5,
        observed_high=111.0,
        chance_lower=0.9,
        chance_upper=0.7,
        told=told,
        verdict=verdict,
        error=None,
        error_at_least=1.0,
        reason="" if told else "too few judged responses to tell",
    )


VANISHED = StratumEvent(
    NOW - timedelta(hours=5), StratumChange.VANISHED, stratum("retired"), NOW - timedelta(hours=42), 0.0031
)
CENSUS = StrataCensus(
    kept=5,
    vanished=(VANISHED,),
    events=(
        VANISHED,
        StratumEvent(NOW - timedelta(days=2), StratumChange.APPEARED, stratum("chat", "chat-v4-canary")),
    ),
    changes={"appeared": 6, "vanished": 2, "reappeared": 1},
)

FULL = Snapshot(
    taken_at=NOW,
    strata=CENSUS,
    forecasts=FORECASTS,
    outlook=OUTLOOK,
    counters=Counters(
        consumed=8_731_402,
        sampled=134_117,
        rejected={"not_json": 12, "bad_timestamp": 5},
        estimated_prompts=96_300,
        estimate_failures={"too_long": 44},
        estimate_tokens=4_100_233_019,
        estimate_device_seconds=91_422.5,
        estimate_paused_seconds=1_817.5,
        observed={"misuse": (20_011, 1), "insult": (20_012, 7)},
        observed_uncovered={"insult": 3},
        observed_by_stratum={
            ("misuse", stratum("chat")): (10_005, 0),
            ("misuse", stratum("agents")): (10_006, 1),
            ("insult", stratum("retired")): (20_012, 7),
            ("insult", Stratum()): (3, 2),
        },
        verdicts={"misuse": (800_001, 17), "insult": (800_002, 5), "retired": (9, 9)},
        worker_losses={"died": 6},
        dead_letters={"sent": 15, "failed": 2},
        job_failures={"estimate": 2},
    ),
    last_cycle=CYCLE,
    last_success=CYCLE,
    forecast_at=NOW - timedelta(minutes=2, seconds=13),
    traffic=TrafficStatus(up=True, lag_messages=1_207, at=NOW - timedelta(seconds=4)),
    scorer=ScorerState(NOW, 0.42, True),
    sensitivity=SENSITIVITY,
    changes=CHANGES,
    version_changes=(VERSION_CHANGE,),
    backtests=(
        backtest(
            "misuse",
            24 * "w" + "aab" + "???",
            median_error=1.25,
            observation_error=1.125,
            errors=30,
            directions=8,
            directions_right=7,
        ),
        backtest("insult", 11 * "?"),
    ),
    backtest_at=NOW - timedelta(minutes=41),
    written_at=NOW - timedelta(seconds=3),
)

EMPTY = Snapshot(taken_at=NOW)
