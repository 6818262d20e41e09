"""Can the forecast be trusted: what it rests on, how past ones did, and what production responses showed."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table, timeseries

from dashboards.frame import AnyPanel
from dashboards.links import Docs
from dashboards.panels import AMBER, BLUE, GREEN, RED, bars, graph, limits, listing, properties, tile
from dashboards.queries import age, column, growth, one_per, present, query, series
from riskmon.publish import names
from riskmon.publish.names.metric import HARM, LEVEL

_EACH_HARM = f"{{{{{HARM}}}}}"
# Of thousands of prompts one with a gap is a doubt.
_ANY_GAP = 1e-6
_NO_ESTIMATE = "No estimate cycle yet"
_NO_FORECAST = "No forecast yet"
_NO_RESPONSES = "No past forecast could be held against judged responses: docs/backtest.md says what it takes"


def panels(docs: Docs) -> list[AnyPanel]:
    """Freshness, evidence, back-test, observed harm."""
    return [
        tile(
            "How old are the estimates?",
            "Time since the last complete estimate cycle. By default one is due every 4 hours.",
            "s",
            present(age(names.ESTIMATE_LAST_SUCCESS), "age"),
            empty=_NO_ESTIMATE,
        )
        .decimals(1)
        .thresholds(limits((None, GREEN), (18_000, AMBER), (32_400, RED)))
        .links([docs.runbook("RiskmonEstimateStale")]),
        tile(
            "On how many prompts?",
            "Estimated prompts that the forecast over all strata rests on.",
            "short",
            present(series(names.TOTAL_FORECAST_PROMPTS), _EACH_HARM),
            empty=_NO_FORECAST,
        ).thresholds(limits((None, BLUE))),
        tile(
            "On how many hits?",
            "Hits are the harmful draws that the forecast over all strata rests on. At 0 only upper limits inform.",
            "short",
            present(series(names.TOTAL_FORECAST_HITS), _EACH_HARM),
            empty=_NO_FORECAST,
        ).thresholds(limits((None, AMBER), (1, BLUE))),
        tile(
            "Do the proposals miss harm?",
            "Coverage gap: share of the last cycle's prompts on which the target itself does harm that the proposals "
            "miss. Above 0 the estimate may be too low.",
            "percentunit",
            present(series(names.ESTIMATE_COVERAGE_GAP_RATIO), _EACH_HARM),
            empty=_NO_ESTIMATE,
        ).thresholds(limits((None, GREEN), (_ANY_GAP, AMBER))),
        tile(
            "Are the error bars honest?",
            "Largest Pareto tail index k-hat of the last cycle's prompts. Above 0.7 the error bars are too small.",
            "none",
            present(series(names.ESTIMATE_KHAT), _EACH_HARM),
            empty="Too few harmful draws to tell",
        )
        .decimals(2)
        .thresholds(limits((None, GREEN), (0.7, RED))),
        tile(
            "Does traffic arrive?",
            "Up while the traffic source answers its checks. Without traffic the forecast slowly loses volume.",
            "bool_yes_no",
            present(series(names.KAFKA_UP), "source"),
            empty="The source was not checked yet",
        )
        .thresholds(limits((None, RED), (1, GREEN)))
        .links([docs.runbook("RiskmonKafkaDown")]),
        backtest(docs),
        interval_coverage(),
        _observed(),
    ]


def backtest(docs: Docs) -> table.Panel:
    """Past forecasts, one a day, against judged responses."""
    columns = {
        "scored": names.BACKTEST_SCORED,
        "undecided": names.BACKTEST_UNDECIDED,
        "too low": names.BACKTEST_ABOVE,
        "too high": names.BACKTEST_BELOW,
        "error": names.BACKTEST_MEDIAN_ERROR,
        "by sampling": names.BACKTEST_OBSERVATION_ERROR,
        "direction": names.BACKTEST_DIRECTION,
    }
    panel = listing(
        "Were past forecasts right?",
        "Forecasts of the last 30 days, one a day, against judged production responses. Too low, too high: days on "
        "which responses contradict the 90% interval; of ten scored days one may. Error is the median factor (1 is "
        "exact), by sampling what few responses make of it by themselves. Direction: real changes forecast with the "
        "right sign. A dash cannot be told.",
        "none",
        {name: column(one_per((HARM,), metric)) for name, metric in columns.items()},
        empty=_NO_RESPONSES,
    ).span(12)
    for name in ("error", "by sampling"):
        panel.override_by_name(name, properties(decimals=2))
    return panel.override_by_name("direction", properties(unit="percentunit", decimals=0)).links(
        [docs.runbook("RiskmonForecastsTooLow")]
    )


def interval_coverage() -> bargauge.Panel:
    """Nominal against real coverage."""
    return (
        bars(
            "Did past intervals hold?",
            "Share of scored past intervals that held, by nominal level: the bar of 0.9 should reach 90%, or a little "
            "more.",
            "percentunit",
            present(
                one_per((HARM, LEVEL), names.BACKTEST_INTERVAL_COVERAGE), f"{_EACH_HARM} {{{{{LEVEL}}}}}"
            ),
            empty=_NO_RESPONSES,
        )
        .span(6)
        .max(1)
        .thresholds(limits((None, BLUE)))
    )


def _observed() -> timeseries.Panel:
    return (
        graph(
            "Did production show harm?",
            "Production responses that the judge found harmful, in the last 24 hours at each moment. Only those of "
            "sampled prompts are judged, so these are not all. Missed: harm that no proposal reaches. Dashed, on the "
            "right: how many were judged.",
            "short",
            query(growth(names.OBSERVED_HARMFUL_OUTPUTS, "24h"), f"{_EACH_HARM}: harmful"),
            query(
                growth(names.OBSERVED_UNCOVERED_HARMFUL_OUTPUTS, "24h"),
                f"{_EACH_HARM}: missed by the proposals",
            ),
            query(growth(names.OBSERVED_OUTPUTS, "24h"), f"{_EACH_HARM}: judged"),
            empty="No responses in the traffic: traffic.fields.response",
        )
        .min(0)
        .span(6)
        .override_by_regexp(
            ".*: judged",
            properties(custom__axisPlacement="right", custom__lineStyle={"fill": "dash", "dash": [4, 6]}),
        )
    )
