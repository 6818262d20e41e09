"""From a snapshot to Prometheus metric families.

In comes a `Snapshot` (None while the store cannot be read) and the static `Facts`; out go metric families, one
function per group of `names.py`. Everything is derived at scrape time and nothing is kept, so a restart changes no
value. An unknown value (None or NaN) has no sample, for unknown is not zero; a counter whose label values are known
starts at 0, so that its first increase is seen by `rate()`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.names import Metric
from riskmon.records import Backtest, CycleSummary, Forecast, HarmHealth, Horizon, Snapshot
from riskmon.records.change import PARTS, Effect
from riskmon.records.sensitivity import StratumSensitivity
from riskmon.statistics import upper_limit

Family = GaugeMetricFamily | CounterMetricFamily
Sample = tuple[Sequence[str], float | None]

# The metric by stratum, the metric of the total, and the value of both.
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
_HEALTH: tuple[tuple[Metric, Callable[[HarmHealth], float | None]], ...] = (
    (names.ESTIMATE_ESS_RATIO, lambda h: h.ess_ratio),
    (names.ESTIMATE_KHAT, lambda h: h.khat),
    (names.ESTIMATE_COVERAGE_GAP_RATIO, lambda h: h.coverage_gap_ratio),
)
_BACKTEST: tuple[tuple[Metric, Callable[[Backtest], float | None]], ...] = (
    (names.BACKTEST_MEDIAN_ERROR, lambda t: t.median_error),
    (names.BACKTEST_OBSERVATION_ERROR, lambda t: t.observation_error),
    (names.BACKTEST_SCORED, lambda t: t.told),
    (names.BACKTEST_UNDECIDED, lambda t: t.cannot_tell),
    (names.BACKTEST_ABOVE, lambda t: t.above),
    (names.BACKTEST_BELOW, lambda t: t.below),
    (names.BACKTEST_DIRECTION, lambda t: t.directions_right / t.directions if t.directions else None),
)


_SENSITIVITY: tuple[tuple[Metric, Callable[[StratumSensitivity], float | None]], ...] = (
    (names.SENSITIVITY_WORST_AMPLIFICATION, lambda s: s.worst),
    (names.SENSITIVITY_WORST_AMPLIFICATION_LOWER, lambda s: s.worst_low),
    (names.SENSITIVITY_WORST_AMPLIFICATION_UPPER, lambda s: s.worst_high),
    (names.SENSITIVITY_LOG10_SPREAD, lambda s: s.log10_spread),
)


def build_registry(latest: Callable[[], Snapshot | None], facts: Facts) -> CollectorRegistry:
    """A registry of its own: riskmon's metrics and those of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(SnapshotCollector(latest, facts))
    return registry


class SnapshotCollector(Collector):
    """Shows the latest snapshot on every scrape.

    Args:
        latest: the snapshot to show; None while the store cannot be read.
        facts: static facts of the process.
    """

    def __init__(self, latest: Callable[[], Snapshot | None], facts: Facts) -> None:
        self._latest = latest
        self._facts = facts

    def describe(self) -> Iterable[Family]:
        """Nothing, so that registering reads no snapshot."""
        return ()

    def collect(self) -> Iterator[Family]:
        """The families of one scrape; those without a sample are left out."""
        snapshot = self._latest()
        for family in _families(snapshot, self._facts):
            if family.samples:
                yield family


def _families(snapshot: Snapshot | None, facts: Facts) -> Iterator[Family]:
    yield _family(names.STORE_UP, [((), float(snapshot is not None))])
    yield from _static(facts)
    if snapshot is None:
        return
    yield from _forecasts(snapshot, facts)
    yield from _changes(snapshot, facts)
    yield from _cycles(snapshot, facts)
    yield from _sensitivity(snapshot, facts)
    yield from _backtests(snapshot, facts)
    yield from _work(snapshot, facts)
    yield from _traffic(snapshot, facts)
    yield from _observed(snapshot, facts)


def _static(facts: Facts) -> Iterator[Family]:
    judges = ",".join(dict.fromkeys(harm.judge for harm in facts.harms))
    yield _family(names.BUILD_INFO, [((facts.version, facts.model, judges), 1.0)])
    yield _family(names.RISK_BUDGET, [((harm.name,), harm.budget_daily) for harm in facts.harms])


def _forecasts(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    current = facts.current(snapshot)
    strata = [
        ((f.harm, *(value for _, value in f.stratum.labels)), f) for f in current if f.stratum is not None
    ]
    totals = [((f.harm,), f) for f in current if f.stratum is None]
    for by_stratum, total, value in _FORECAST:
        yield _family(by_stratum, [(labels, value(f)) for labels, f in strata], facts.stratum_labels)
        yield _family(total, [(labels, value(f)) for labels, f in totals])
    for metric, value in _DAY:
        yield _family(metric, [(labels, value(f)) for labels, f in totals])
    yield _family(
        names.TOTAL_VARIANCE_RATIO,
        [
            ((f.harm, part), share)
            for _, f in totals
            if f.variance is not None
            for part, share in dataclasses.asdict(f.variance).items()
        ],
    )
    yield from _horizons(facts.outlook(snapshot))
    yield _family(names.FORECAST_LAST_SUCCESS, [((), _timestamp(snapshot.forecast_at))])


def _horizons(outlook: Sequence[Forecast]) -> Iterator[Family]:
    for horizon, metrics in _OTHER_HORIZONS.items():
        own = [f for f in outlook if f.horizon is horizon]
        values = [(f.expected, f.lower, f.upper, f.over_budget_probability) for f in own]
        for place, metric in enumerate(metrics):
            yield _family(metric, [((f.harm,), row[place]) for f, row in zip(own, values, strict=True)])


def _changes(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    effects = [
        ((harm.name, part), snapshot.changes[harm.name].part(part))
        for harm in facts.harms
        if harm.name in snapshot.changes
        for part in PARTS
    ]
    for metric, value in _CHANGE:
        yield _family(metric, [(labels, value(effect)) for labels, effect in effects])


def _cycles(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    if (success := snapshot.last_success) is not None:
        yield _family(names.ESTIMATE_LAST_SUCCESS, [((), _timestamp(success.finished_at))])
        yield _family(names.ESTIMATE_DURATION, [((), success.duration_seconds)])
    if snapshot.last_cycle is not None:
        yield from _health(snapshot.last_cycle, facts)
        yield _uncovered(snapshot, snapshot.last_cycle, facts)


def _health(cycle: CycleSummary, facts: Facts) -> Iterator[Family]:
    harms = {harm.name for harm in facts.harms}
    health = [h for h in cycle.health if h.harm in harms]
    for metric, value in _HEALTH:
        yield _family(metric, [((h.harm,), value(h)) for h in health])
    yield _family(
        names.ESTIMATE_FLAGGED,
        [((h.harm, flag), count) for h in health for flag, count in (h.flagged or {}).items()],
    )
    yield _family(names.ESTIMATE_WEIGHT_MEAN, [((), cycle.weight_mean)])
    yield _family(names.ESTIMATE_PATH_DISCREPANCY, [((), cycle.path_discrepancy)])
    yield _family(names.ESTIMATE_LEFT_OUT, [((), cycle.left_out)])


def _backtests(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    harms = {harm.name for harm in facts.harms}
    tests = [test for test in snapshot.backtests if test.harm in harms]
    for metric, value in _BACKTEST:
        yield _family(metric, [((test.harm,), value(test)) for test in tests])
    yield _family(
        names.BACKTEST_INTERVAL_COVERAGE,
        [((test.harm, f"{each.level:g}"), each.share) for test in tests for each in test.intervals],
    )
    yield _family(names.BACKTEST_LAST_SUCCESS, [((), _timestamp(snapshot.backtest_at))])


def _uncovered(snapshot: Snapshot, cycle: CycleSummary, facts: Facts) -> Family:
    """Pooled over all that the store holds; where only the target is drawn from there is no such count."""
    upper = {health.harm: health.uncovered_upper for health in cycle.health}
    upper |= {count.harm: upper_limit(count.gap_hits, count.target_draws) for count in snapshot.coverage}
    return _family(
        names.UNCOVERED_HARM_PROBABILITY_UPPER, [((harm.name,), upper.get(harm.name)) for harm in facts.harms]
    )


def _sensitivity(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    if snapshot.sensitivity is None:
        return
    strata = [
        ((row.harm, *(value for _, value in row.stratum.labels)), row)
        for row in facts.current_sensitivity(snapshot)
    ]
    for metric, value in _SENSITIVITY:
        yield _family(metric, [(labels, value(row)) for labels, row in strata], facts.stratum_labels)
    yield _family(names.SENSITIVITY_LAST_SUCCESS, [((), _timestamp(snapshot.sensitivity.finished_at))])


def _work(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    counters = snapshot.counters
    yield _family(names.ESTIMATE_PROMPTS, [((), counters.estimated_prompts)])
    yield _family(names.ESTIMATE_FAILURES, _from_zero(facts.failure_reasons, counters.estimate_failures))
    yield _family(names.ESTIMATE_TOKENS, [((), counters.estimate_tokens)])
    yield _family(names.ESTIMATE_DEVICE_SECONDS, [((), counters.estimate_device_seconds)])
    yield _family(names.JOB_FAILURES, _from_zero(facts.jobs, counters.job_failures))


def _traffic(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    counters = snapshot.counters
    yield _family(names.PROMPTS_CONSUMED, [((), counters.consumed)])
    yield _family(names.PROMPTS_SAMPLED, [((), counters.sampled)])
    yield _family(names.PROMPTS_REJECTED, _from_zero(facts.reject_reasons, counters.rejected))
    if (traffic := snapshot.traffic) is not None:
        yield _family(names.KAFKA_UP, [((), float(traffic.up))])
        yield _family(names.KAFKA_LAG, [((), traffic.lag_messages)])
        yield _family(names.KAFKA_LAST_CHECK, [((), _timestamp(traffic.at))])


def _observed(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    observed = snapshot.counters.observed
    harms = [harm.name for harm in facts.harms]
    outputs = {harm: pair[0] for harm, pair in observed.items()}
    harmful = {harm: pair[1] for harm, pair in observed.items()}
    yield _family(names.OBSERVED_OUTPUTS, _from_zero(harms, outputs))
    yield _family(names.OBSERVED_HARMFUL_OUTPUTS, _from_zero(harms, harmful))


def _from_zero(known: Iterable[str], counts: Mapping[str, int]) -> list[Sample]:
    """One sample per label value, known or seen; 0 where nothing was counted yet."""
    return [((value,), counts.get(value, 0)) for value in dict.fromkeys([*known, *sorted(counts)])]


def _family(metric: Metric, samples: Iterable[Sample], stratum_labels: Sequence[str] = ()) -> Family:
    labels = (*metric.labels, *stratum_labels) if metric.by_stratum else metric.labels
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: Family = make(metric.name, metric.help, labels=labels, unit=metric.openmetrics_unit)
    for values, value in samples:
        if value is not None and not math.isnan(value):
            family.add_metric([_encodable(text) for text in values], value)
    return family


def _encodable(value: str) -> str:
    """The label value with lone surrogates replaced: a producer may send them, and UTF-8 cannot carry them."""
    return value.encode("utf-8", "replace").decode("utf-8")


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
