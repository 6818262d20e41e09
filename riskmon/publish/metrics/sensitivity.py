"""The last complete run of the sensitivity job."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.metrics.family import Family, family, timestamp
from riskmon.publish.names.metric import Metric
from riskmon.records import Snapshot
from riskmon.records.sensitivity import StratumSensitivity

_SENSITIVITY: tuple[tuple[Metric, Callable[[StratumSensitivity], float | None]], ...] = (
    (names.SENSITIVITY_WORST_AMPLIFICATION, lambda s: s.worst),
    (names.SENSITIVITY_WORST_AMPLIFICATION_LOWER, lambda s: s.worst_low),
    (names.SENSITIVITY_WORST_AMPLIFICATION_UPPER, lambda s: s.worst_high),
    (names.SENSITIVITY_LOG10_SPREAD, lambda s: s.log10_spread),
)


def stratum_sensitivity(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """Amplification and spread by stratum; no sample before the first complete run."""
    strata = [
        ((row.harm, *(value for _, value in row.stratum.labels)), row)
        for row in facts.current_sensitivity(snapshot)
    ]
    for metric, value in _SENSITIVITY:
        yield family(metric, [(labels, value(row)) for labels, row in strata], facts.stratum_labels)


def sensitivity(snapshot: Snapshot) -> Family:
    """When the last complete run ended; no sample before the first."""
    done = None if snapshot.sensitivity is None else snapshot.sensitivity.finished_at
    return family(names.SENSITIVITY_LAST_SUCCESS, [((), timestamp(done))])
