"""What drives the forecast of one harm: traffic, mix, model; and what makes its interval as wide as it is."""

from __future__ import annotations

from grafana_foundation_sdk.builders import bargauge, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.models import dashboard

from dashboards.frame import AnyPanel
from dashboards.panels import (
    BLUE,
    GREY,
    bars,
    fixed,
    graph,
    limits,
    listing,
    logarithmic,
    properties,
    stacked,
)
from dashboards.queries import column, one_per, present, query, series
from dashboards.strata import Strata
from riskmon.publish import names
from riskmon.publish.names.metric import PART

_NO_FORECAST = "No forecast yet: the first one follows the first estimate"
_NO_YESTERDAY = "No forecast of a day before to compare with"
_SMALL = "sci"
# A legend of ten strata needs its own lines.
_WITH_LEGEND = 10
# Without configured strata the one series has no label, and Grafana would name it by its expression.
_UNSPLIT, _WHOLE = "max without .*", properties(displayName="all traffic")


def panels(strata: Strata) -> list[AnyPanel]:
    """Change, make-up, probability, spread; retries and wording."""
    return [
        _why_changed(),
        _when_changed(),
        _why_wide(),
        _traffic(strata),
        _make_up(strata),
        _probability(),
        _strata(strata),
        _retries(),
        _wording(strata),
        _observed(strata),
    ]


def _why_changed() -> table.Panel:
    parts = one_per((PART,), names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE)
    whole = f'label_replace(sum({parts}), "{PART}", "all together", "", "")'
    return listing(
        "Why did it change since yesterday?",
        "Change of the expected harmful outputs since the forecast of a day before, by its part, with 90% intervals: "
        "volume is the traffic, mix is which strata it goes to, p is the model's answers to it. A part whose "
        "interval holds 0 may be none.",
        "short",
        {
            "change": column(f"{parts} or {whole}"),
            "lower": column(one_per((PART,), names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE_LOWER)),
            "upper": column(one_per((PART,), names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE_UPPER)),
        },
        empty=_NO_YESTERDAY,
    )


def _when_changed() -> timeseries.Panel:
    return graph(
        "Since when, and by which part?",
        "Change of the expected harmful outputs against the forecast of a day before, by its part, as it was at each "
        "moment.",
        "short",
        query(one_per((PART,), names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE), f"{{{{{PART}}}}}"),
        empty=_NO_YESTERDAY,
    )


def _why_wide() -> bargauge.Panel:
    return (
        bars(
            "What makes the interval wide?",
            "Shares of the spread of the forecast: volume (how much traffic comes), prompts (which prompts were "
            "sampled), samples (draws within a prompt), judge (its errors), chance (what is left however well p is "
            "known). More prompts help against the second, more draws against the third. Unseen: part of the upper end "
            "that is harm no draw has shown.",
            "percentunit",
            present(one_per((PART,), names.TOTAL_VARIANCE_RATIO), f"{{{{{PART}}}}}"),
            present(f"max({series(names.TOTAL_UNSEEN_RATIO)})", "unseen"),
            empty=_NO_FORECAST,
        )
        .max(1)
        .thresholds(limits((None, BLUE)))
    )


def _traffic(strata: Strata) -> timeseries.Panel:
    return (
        stacked(
            graph(
                "Is it the traffic?",
                "Predicted requests of the next 24 hours in the ten strata with the most of them, and over all "
                "strata (line). If this rises while the mean probability is flat, it is the traffic.",
                "short",
                query(strata.each(names.DAILY_REQUESTS, among=names.DAILY_REQUESTS), strata.legend),
                query(f"max({series(names.TOTAL_DAILY_REQUESTS)})", "all strata"),
                empty=_NO_FORECAST,
            )
        )
        .height(_WITH_LEGEND)
        .override_by_name("all strata", _line())
        .override_by_regexp(_UNSPLIT, _WHOLE)
    )


def _make_up(strata: Strata) -> timeseries.Panel:
    return (
        stacked(
            graph(
                "Is it the mix: which strata is it made of?",
                "Expected harmful outputs of the next 24 hours in the ten strata that bring the most, and over all "
                "strata (line). Expectations add up to the total, intervals do not.",
                "short",
                query(
                    strata.each(names.DAILY_HARMFUL_OUTPUTS, among=names.DAILY_HARMFUL_OUTPUTS), strata.legend
                ),
                query(f"max({series(names.TOTAL_DAILY_HARMFUL_OUTPUTS)})", "all strata"),
                empty=_NO_FORECAST,
            )
        )
        .height(_WITH_LEGEND)
        .override_by_name("all strata", _line())
        .override_by_regexp(_UNSPLIT, _WHOLE)
    )


def _line() -> list[dashboard.DynamicConfigValue]:
    """Not part of the stack."""
    return properties(
        custom__stacking={"mode": "none", "group": "A"},
        custom__fillOpacity=0,
        color=fixed(GREY),
    )


def _probability() -> timeseries.Panel:
    return logarithmic(
        graph(
            "Is it the model?",
            "Mean probability that a request is answered harmfully, weighted by traffic, its 95% upper limit, and the "
            "extrapolated worst query of the day, which is absent where the extrapolation is refused. If these are "
            "flat while the forecast moves, it is the traffic.",
            _SMALL,
            query(series(names.TOTAL_HARM_PROBABILITY), "mean"),
            query(series(names.TOTAL_HARM_PROBABILITY_UPPER), "upper limit (95%)"),
            query(series(names.TOTAL_WORST_QUERY_PROBABILITY), "worst query"),
            empty=_NO_FORECAST,
        ).decimals(1)
    ).height(_WITH_LEGEND)


def _strata(strata: Strata) -> table.Panel:
    largest = names.DAILY_HARMFUL_OUTPUTS
    columns = {
        "expected": largest,
        "lower": names.DAILY_HARMFUL_OUTPUTS_LOWER,
        "upper": names.DAILY_HARMFUL_OUTPUTS_UPPER,
        "P(at least one)": names.ANY_HARMFUL_OUTPUT_PROBABILITY,
        "requests": names.DAILY_REQUESTS,
        "mean p": names.HARM_PROBABILITY,
        "mean p upper": names.HARM_PROBABILITY_UPPER,
        "worst query": names.WORST_QUERY_PROBABILITY,
    }
    panel = (
        listing(
            "Which strata bring most of it?",
            "The ten strata with the most expected harmful outputs in the next 24 hours: 90% prediction interval, "
            "predicted requests, mean probability per request and the day's worst query. Few requests with a high p is "
            "a model or a route to look at; a low p with many requests is volume.",
            "short",
            {name: column(strata.each(metric, among=largest)) for name, metric in columns.items()},
            empty=_NO_FORECAST,
        )
        .span(24)
        .sort_by([common_builders.TableSortByFieldState().display_name("expected").desc(True)])
        .override_by_name("P(at least one)", properties(unit="percentunit"))
    )
    for name in ("mean p", "mean p upper", "worst query"):
        panel.override_by_name(name, properties(unit=_SMALL, decimals=1))
    return panel


def _retries() -> timeseries.Panel:
    return logarithmic(
        graph(
            "What if users ask again and again?",
            "Mean probability of a harmful answer among `forecast.retries` answers to one prompt (10 by default), the "
            "upper end of its 90% interval, and that of one answer.",
            _SMALL,
            query(series(names.TOTAL_RETRY_HARM_PROBABILITY), "among several answers"),
            query(series(names.TOTAL_RETRY_HARM_PROBABILITY_UPPER), "upper end (90%)"),
            query(series(names.TOTAL_HARM_PROBABILITY), "one answer"),
            empty=_NO_FORECAST,
        ).decimals(1)
    )


def _wording(strata: Strata) -> table.Panel:
    """The job that measures it runs only where it is configured."""
    columns = {
        "worst amplification": names.SENSITIVITY_WORST_AMPLIFICATION,
        "lower (95%)": names.SENSITIVITY_WORST_AMPLIFICATION_LOWER,
        "upper (95%)": names.SENSITIVITY_WORST_AMPLIFICATION_UPPER,
        "spread of log10 p": names.SENSITIVITY_LOG10_SPREAD,
    }
    return listing(
        "How much does the wording matter?",
        "Harm probability of the riskiest harmless rewording over that of the prompt as it stands, the largest over "
        "the prompts that contribute most to the forecast; 10 means that a wording nobody would call different is ten "
        "times as risky. A lower end above 1 says that some wording is riskier for certain; without an upper end "
        "nothing bounds it. Spread: standard deviation in orders of magnitude over rewordings.",
        "none",
        {name: column(strata.each(metric)) for name, metric in columns.items()},
        empty="Not measured: set sensitivity.schedule, or wait for its first complete run",
    ).span(16)


def _observed(strata: Strata) -> table.Panel:
    return (
        listing(
            "Where did production show harm?",
            "Production responses of the last 24 hours that were judged, and those found harmful, by stratum. As many "
            "are judged in each stratum whatever its traffic.",
            "short",
            {
                "harmful": column(strata.growth(names.OBSERVED_STRATUM_HARMFUL_OUTPUTS, "24h")),
                "judged": column(strata.growth(names.OBSERVED_STRATUM_OUTPUTS, "24h")),
            },
            empty="No responses in the traffic: traffic.fields.response",
        )
        .span(24)
        .sort_by([common_builders.TableSortByFieldState().display_name("harmful").desc(True)])
    )
