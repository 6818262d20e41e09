"""Past forecasts against judged production responses, and those responses themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.metrics.family import Family, family, from_zero, timestamp
from riskmon.publish.names.metric import Metric
from riskmon.records import Backtest, Snapshot

_BACKTEST: tuple[tuple[Metric, Callable[[Backtest], float | None]], ...] = (
    (names.BACKTEST_MEDIAN_ERROR, lambda t: t.median_error),
    (names.BACKTEST_OBSERVATION_ERROR, lambda t: t.observation_error),
    (names.BACKTEST_SCORED, lambda t: t.told),
    (names.BACKTEST_UNDECIDED, lambda t: t.cannot_tell),
    (names.BACKTEST_ABOVE, lambda t: t.above),
    (names.BACKTEST_BELOW, lambda t: t.below),
    (names.BACKTEST_DIRECTION, lambda t: t.directions_right / t.directions if t.directions else None),
)


def backtests(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """How past forecasts of the configured harms did."""
    harms = {harm.name for harm in facts.harms}
    tests = [test for test in snapshot.backtests if test.harm in harms]
    for metric, value in _BACKTEST:
        yield family(metric, [((test.harm,), value(test)) for test in tests])
    yield family(
        names.BACKTEST_INTERVAL_COVERAGE,
        [((test.harm, f"{each.level:g}"), each.share) for test in tests for each in test.intervals],
    )
    yield family(names.BACKTEST_LAST_SUCCESS, [((), timestamp(snapshot.backtest_at))])


def observed(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """Judged production responses, from 0 for every configured harm."""
    pairs = snapshot.counters.observed
    harms = [harm.name for harm in facts.harms]
    outputs = {harm: pair[0] for harm, pair in pairs.items()}
    harmful = {harm: pair[1] for harm, pair in pairs.items()}
    yield family(names.OBSERVED_OUTPUTS, from_zero(harms, outputs))
    yield family(names.OBSERVED_HARMFUL_OUTPUTS, from_zero(harms, harmful))
    yield family(
        names.OBSERVED_UNCOVERED_HARMFUL_OUTPUTS, from_zero(harms, snapshot.counters.observed_uncovered)
    )
    yield from _observed_by_stratum(snapshot, facts)


def _observed_by_stratum(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """The same by stratum, from 0 for every stratum that is forecast."""
    known = dict.fromkeys((f.harm, f.stratum) for f in facts.current(snapshot) if f.stratum is not None)
    pairs = dict.fromkeys(known, (0, 0)) | {
        cell: pair for cell, pair in snapshot.counters.observed_by_stratum.items() if facts.fits(*cell)
    }
    metrics = (names.OBSERVED_STRATUM_OUTPUTS, names.OBSERVED_STRATUM_HARMFUL_OUTPUTS)
    for place, metric in enumerate(metrics):
        samples = [
            ((harm, *(value for _, value in stratum.labels)), pair[place])
            for (harm, stratum), pair in pairs.items()
        ]
        yield family(metric, samples, facts.stratum_labels)
