"""The forecast: by stratum, in total, for other horizons, and how it changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.metrics.family import Family, family, timestamp
from riskmon.publish.names.metric import Metric
from riskmon.records import Forecast, Horizon, Snapshot
from riskmon.records.change import PARTS, Effect

_FORECAST: tuple[tuple[Metric, Metric, Callable[[Forecast], float | None]], ...] = (
    (names.DAILY_HARMFUL_OUTPUTS, names.TOTAL_DAILY_HARMFUL_OUTPUTS, lambda f: f.expected),
    (names.DAILY_HARMFUL_OUTPUTS_LOWER, names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER, lambda f: f.lower),
    (names.DAILY_HARMFUL_OUTPUTS_UPPER, names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER, lambda f: f.upper),
    (
        names.ANY_HARMFUL_OUTPUT_PROBABILITY,
        names.TOTAL_ANY_HARMFUL_OUTPUT_PROBABILITY,
        lambda f: f.any_probability,
    ),
    (names.DAILY_REQUESTS, names.TOTAL_DAILY_REQUESTS, lambda f: f.requests),
    (names.HARM_PROBABILITY, names.TOTAL_HARM_PROBABILITY, lambda f: f.harm_probability),
    (names.HARM_PROBABILITY_UPPER, names.TOTAL_HARM_PROBABILITY_UPPER, lambda f: f.harm_probability_upper),
    (names.WORST_QUERY_PROBABILITY, names.TOTAL_WORST_QUERY_PROBABILITY, lambda f: f.worst_query_probability),
)


_DAY: tuple[tuple[Metric, Callable[[Forecast], float | None]], ...] = (
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER_50, lambda f: f.lower_50),
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER_50, lambda f: f.upper_50),
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER_99, lambda f: f.lower_99),
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER_99, lambda f: f.upper_99),
    (names.TOTAL_DAILY_OVER_BUDGET_PROBABILITY, lambda f: f.over_budget_probability),
    (names.TOTAL_UNSEEN_RATIO, lambda f: f.unseen_share),
    (names.TOTAL_RETRY_HARM_PROBABILITY, lambda f: f.retry_probability),
    (names.TOTAL_RETRY_HARM_PROBABILITY_UPPER, lambda f: f.retry_upper),
    (names.TOTAL_FORECAST_PROMPTS, lambda f: f.prompts),
    (names.TOTAL_FORECAST_HITS, lambda f: f.hits),
)


_OTHER_HORIZONS: Mapping[Horizon, tuple[Metric, Metric, Metric, Metric]] = {
    Horizon.TODAY: (
        names.TOTAL_TODAY_HARMFUL_OUTPUTS,
        names.TOTAL_TODAY_HARMFUL_OUTPUTS_LOWER,
        names.TOTAL_TODAY_HARMFUL_OUTPUTS_UPPER,
        names.TOTAL_TODAY_OVER_BUDGET_PROBABILITY,
    ),
    Horizon.WEEK: (
        names.TOTAL_WEEKLY_HARMFUL_OUTPUTS,
        names.TOTAL_WEEKLY_HARMFUL_OUTPUTS_LOWER,
        names.TOTAL_WEEKLY_HARMFUL_OUTPUTS_UPPER,
        names.TOTAL_WEEKLY_OVER_BUDGET_PROBABILITY,
    ),
}


_CHANGE: tuple[tuple[Metric, Callable[[Effect], float | None]], ...] = (
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE, lambda effect: effect.mean),
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE_LOWER, lambda effect: effect.low),
    (names.TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE_UPPER, lambda effect: effect.high),
)


def stratum_forecasts(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """The forecast of each stratum; of none that the configuration no longer knows."""
    strata = [
        ((f.harm, *(value for _, value in f.stratum.labels)), f)
        for f in facts.current(snapshot)
        if f.stratum is not None
    ]
    for by_stratum, _, value in _FORECAST:
        yield family(by_stratum, [(labels, value(f)) for labels, f in strata], facts.stratum_labels)


def forecasts(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """The totals of the forecast, its other horizons, and when it was made."""
    totals = [((f.harm,), f) for f in facts.current(snapshot) if f.stratum is None]
    for _, total, value in _FORECAST:
        yield family(total, [(labels, value(f)) for labels, f in totals])
    for metric, value in _DAY:
        yield family(metric, [(labels, value(f)) for labels, f in totals])
    yield family(
        names.TOTAL_VARIANCE_RATIO,
        [
            ((f.harm, part), share)
            for _, f in totals
            if f.variance is not None
            for part, share in dataclasses.asdict(f.variance).items()
        ],
    )
    yield from _horizons(facts.outlook(snapshot))
    yield family(names.FORECAST_LAST_SUCCESS, [((), timestamp(snapshot.forecast_at))])


def _horizons(outlook: Sequence[Forecast]) -> Iterator[Family]:
    for horizon, metrics in _OTHER_HORIZONS.items():
        own = [f for f in outlook if f.horizon is horizon]
        values = [(f.expected, f.lower, f.upper, f.over_budget_probability) for f in own]
        for place, metric in enumerate(metrics):
            yield family(metric, [((f.harm,), row[place]) for f, row in zip(own, values, strict=True)])


def changes(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """The change since the day before, by its part."""
    effects = [
        ((harm.name, part), snapshot.changes[harm.name].part(part))
        for harm in facts.harms
        if harm.name in snapshot.changes
        for part in PARTS
    ]
    for metric, value in _CHANGE:
        yield family(metric, [(labels, value(effect)) for labels, effect in effects])
