"""A realistic day as a hand-made snapshot: two harms, four strata, one harm over its budget.

Every value differs from every other, so that a swapped field shows.
"""

from datetime import UTC, datetime, timedelta

from riskmon.publish import Facts, HarmFacts
from riskmon.records import (
    Backtest,
    BacktestRow,
    Counters,
    CycleSummary,
    Flag,
    Forecast,
    HarmHealth,
    IntervalShare,
    Snapshot,
    Stratum,
    TrafficStatus,
)
from riskmon.records.backtest import Verdict

NOW = datetime(2026, 3, 9, 14, 7, 21, tzinfo=UTC)

FACTS = Facts(
    version="0.1.0",
    model="HuggingFaceTB/SmolLM2-135M-Instruct",
    harms=(HarmFacts("misuse", "regex", 10.0), HarmFacts("insult", "toxicity", 500.0)),
    stratum_labels=("route", "model"),
    reject_reasons=("not_json", "oversized"),
    failure_reasons=("too_long", "not_finite"),
    jobs=("estimate", "forecast", "purge"),
    estimate_schedule="0 */4 * * *",
    forecast_schedule="*/5 * * * *",
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
    }
    return Forecast(**{**fields, **changes})  # type: ignore[arg-type]


FORECASTS = (
    forecast(
        "misuse",
        None,
        (27.4, 14, 46, 1 - 1.3e-12, 1_284_300, 2.13e-5, 3.9e-5, 1_642, 391),
        worst_query_probability=0.0147,
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
    ),
    forecast("insult", stratum("chat"), (249, 151, 388, 0.999999, 871_900.5, 2.86e-4, 4.3e-4, 613, 1_344)),
    forecast("insult", stratum("agents"), (38.2, 21, 62, 0.9999, 96_400.5, 3.96e-4, 6.2e-4, 406, 517)),
    forecast(
        "insult", stratum("chat", "chat-v4-canary"), (24.9, 9, 49, 0.998, 61_200.5, 4.07e-4, 7.7e-4, 215, 201)
    ),
    forecast("insult", stratum("summarise"), (5.61, 1, 12, 0.989, 254_800.5, 2.2e-5, 4.7e-5, 409, 45)),
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


FULL = Snapshot(
    taken_at=NOW,
    forecasts=FORECASTS,
    counters=Counters(
        consumed=8_731_402,
        sampled=134_117,
        rejected={"not_json": 12, "bad_timestamp": 5},
        estimated_prompts=96_300,
        estimate_failures={"too_long": 44},
        estimate_tokens=4_100_233_019,
        estimate_device_seconds=91_422.5,
        observed={"misuse": (20_011, 1), "insult": (20_012, 7)},
        job_failures={"estimate": 2},
    ),
    last_cycle=CYCLE,
    last_success=CYCLE,
    forecast_at=NOW - timedelta(minutes=2, seconds=13),
    traffic=TrafficStatus(up=True, lag_messages=1_207, at=NOW - timedelta(seconds=4)),
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
)

EMPTY = Snapshot(taken_at=NOW)
