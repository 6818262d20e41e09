"""riskmon-overview.json: is it bad, what drives it, can I trust it?

The first row speaks of all harms at once. Then come two rows for each harm: the forecast, and what it is made of. The
last row says what the forecast rests on; `drivers.py` and `trust.py` hold the panels of these two.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import table, timeseries

from dashboards import drivers, trust
from dashboards.frame import AnyPanel, Row, board
from dashboards.links import Docs
from dashboards.panels import (
    AMBER,
    BLUE,
    GREEN,
    RED,
    fixed,
    graph,
    limits,
    listing,
    marked,
    properties,
    tile,
)
from dashboards.queries import FIRING, age, column, named, one_per, present, query, series
from dashboards.strata import Strata
from riskmon.publish import names
from riskmon.publish.names.metric import HARM, Metric

_EACH_HARM = f"{{{{{HARM}}}}}"
_NO_FORECAST = "No forecast yet: the first one follows the first estimate"
_NO_BUDGET = "No budget: set budget_daily of the harm"
_SHARE_OF_BUDGET = f"{series(names.TOTAL_DAILY_HARMFUL_OUTPUTS)} / {series(names.RISK_BUDGET)}"


def overview(strata: Strata, docs: Docs) -> builders.Dashboard:
    """The dashboard that a person on call opens first."""
    return board(
        "riskmon: risk overview",
        "riskmon-overview",
        "Harmful outputs that a deployed language model is expected to produce: is it bad, what drives it, "
        "can I trust it?",
        (
            Row("Is it bad?", _at_a_glance(docs)),
            Row(f"Is it bad? ${HARM}", _of_one_harm(docs), repeat=HARM),
            Row(f"What drives it? ${HARM}", drivers.panels(strata), repeat=HARM),
            Row("Can I trust it?", trust.panels(docs)),
        ),
        docs,
        more=strata.variables(),
    )


def _at_a_glance(docs: Docs) -> list[AnyPanel]:
    over_budget = docs.runbook("RiskmonForecastOverBudget")
    return [
        tile(
            "How much of the budget?",
            "Expected harmful outputs of the next 24 hours over the configured daily budget. Above 100% is over "
            "budget.",
            "percentunit",
            present(_SHARE_OF_BUDGET, _EACH_HARM),
            empty=_NO_BUDGET,
        )
        .thresholds(limits((None, GREEN), (0.8, AMBER), (1, RED)))
        .links([over_budget]),
        tile(
            "P(over budget), 24 h",
            "Probability of more harmful outputs than the budget in the next 24 hours.",
            "percentunit",
            present(series(names.TOTAL_DAILY_OVER_BUDGET_PROBABILITY), _EACH_HARM),
            empty=_NO_BUDGET,
        )
        .decimals(1)
        .thresholds(limits((None, GREEN), (0.5, AMBER), (0.9, RED))),
        tile(
            "P(at least one), 24 h",
            "Probability of at least one harmful output in the next 24 hours, over all strata. Cautious: it counts "
            "what was not seen.",
            "percentunit",
            present(series(names.TOTAL_ANY_HARMFUL_OUTPUT_PROBABILITY), _EACH_HARM),
            empty=_NO_FORECAST,
        )
        .decimals(1)
        .thresholds(limits((None, BLUE))),
        tile(
            "How many, next 24 h?",
            "Expected harmful outputs of the next 24 hours, over all strata.",
            "short",
            present(series(names.TOTAL_DAILY_HARMFUL_OUTPUTS), _EACH_HARM),
            empty=_NO_FORECAST,
        ).thresholds(limits((None, BLUE))),
        tile(
            "How bad is the worst query?",
            "Extrapolated probability of harm of the day's worst query: the one in a day's traffic that the model is "
            "most likely to answer harmfully.",
            "percentunit",
            present(series(names.TOTAL_WORST_QUERY_PROBABILITY), _EACH_HARM),
            empty="Extrapolation refused: too few prompts with harm",
        ).thresholds(limits((None, BLUE))),
        tile(
            "How old is the forecast?",
            "Time since the last forecast. By default one is made every 5 minutes.",
            "s",
            present(age(names.FORECAST_LAST_SUCCESS), "age"),
            empty=_NO_FORECAST,
        )
        .decimals(1)
        .thresholds(limits((None, GREEN), (900, AMBER), (3600, RED))),
        marked(
            graph(
                "Since when is it over budget?",
                "Expected harmful outputs of the next 24 hours over the daily budget, for each harm. The dashed line "
                "is the budget.",
                "percentunit",
                query(_SHARE_OF_BUDGET, _EACH_HARM),
                empty=_NO_BUDGET,
            )
            .min(0)
            .span(16)
            .height(7),
            1,
        ).links([over_budget]),
        _alerts(docs),
    ]


def _alerts(docs: Docs) -> table.Panel:
    runbook = docs.runbook("${__value.raw}")
    return (
        listing(
            "Which alerts fire?",
            "Alerts named Riskmon... that fire at this moment; the name leads to the runbook. Prometheus has them only "
            "where it evaluates riskmon's rules.",
            "none",
            {"Value": column(FIRING)},
            empty="No alert fires",
            hidden=("__name__", "Value", "alertstate", "instance", "job"),
        )
        .height(7)
        .override_by_name("alertname", properties(links=[runbook.build()], custom__width=240))
    )


def _of_one_harm(docs: Docs) -> list[AnyPanel]:
    return [_forecast().links([docs.runbook("RiskmonForecastOverBudget")]), _horizons()]


def _forecast() -> timeseries.Panel:
    """Expectation, budget, and three intervals, the widest painted first."""
    levels = (
        ("99%", names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER_99, names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER_99, 8),
        ("90%", names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER, names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER, 14),
        ("50%", names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER_50, names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER_50, 24),
    )
    bounds = [
        query(series(metric), f"{level} {end}")
        for level, lower, upper, _ in levels
        for end, metric in (("lower", lower), ("upper", upper))
    ]
    panel = graph(
        "How many harmful outputs in the next 24 hours?",
        "Expected number over all strata with its 50, 90 and 99% prediction intervals, and the budget. The expectation "
        "of rare harm can lie above an interval: most days then have none.",
        "short",
        *bounds,
        query(series(names.TOTAL_DAILY_HARMFUL_OUTPUTS), "expected"),
        query(series(names.RISK_BUDGET), "budget"),
        empty=_NO_FORECAST,
    )
    faint = {"custom__lineWidth": 0, "color": fixed(BLUE)}
    for level, _, _, opacity in levels:
        lower, upper = f"{level} lower", f"{level} upper"
        # The lower ends only bound the bands: one entry for each band is enough in legend and tooltip.
        hidden = {"legend": True, "tooltip": False, "viz": False}
        panel.override_by_name(lower, properties(**faint, custom__hideFrom=hidden))
        panel.override_by_name(
            upper,
            properties(**faint, custom__fillBelowTo=lower, custom__fillOpacity=opacity, displayName=level),
        )
    dashes = {"fill": "dash", "dash": [10, 10]}
    return (
        panel.min(0)
        .span(16)
        .override_by_name("expected", properties(color=fixed(BLUE), custom__lineWidth=2))
        .override_by_name("budget", properties(color=fixed(RED), custom__lineStyle=dashes))
    )


def _horizons() -> table.Panel:
    """The same forecast for today, 24 hours and a week."""

    def across(today: Metric, day: Metric, week: Metric) -> str:
        found = {"today": today, "next 24 h": day, "next 7 days": week}
        return named("horizon", {name: one_per((HARM,), metric) for name, metric in found.items()})

    chance = properties(unit="percentunit", decimals=1)
    return listing(
        "And on other horizons?",
        "Expected number, 90% prediction interval, and probability of more than the budget: for the present local day, "
        "the next 24 hours, and the next 7 days (against seven daily budgets).",
        "short",
        {
            "expected": column(
                across(
                    names.TOTAL_TODAY_HARMFUL_OUTPUTS,
                    names.TOTAL_DAILY_HARMFUL_OUTPUTS,
                    names.TOTAL_WEEKLY_HARMFUL_OUTPUTS,
                )
            ),
            "lower": column(
                across(
                    names.TOTAL_TODAY_HARMFUL_OUTPUTS_LOWER,
                    names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER,
                    names.TOTAL_WEEKLY_HARMFUL_OUTPUTS_LOWER,
                )
            ),
            "upper": column(
                across(
                    names.TOTAL_TODAY_HARMFUL_OUTPUTS_UPPER,
                    names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER,
                    names.TOTAL_WEEKLY_HARMFUL_OUTPUTS_UPPER,
                )
            ),
            "P(over)": column(
                across(
                    names.TOTAL_TODAY_OVER_BUDGET_PROBABILITY,
                    names.TOTAL_DAILY_OVER_BUDGET_PROBABILITY,
                    names.TOTAL_WEEKLY_OVER_BUDGET_PROBABILITY,
                )
            ),
        },
        empty=_NO_FORECAST,
        hidden=(HARM,),
    ).override_by_name("P(over)", chance)
