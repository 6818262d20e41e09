"""One metric family of the exposition, from its declaration and its samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from riskmon.publish.encodable import encodable
from riskmon.publish.names.metric import Metric

Family = GaugeMetricFamily | CounterMetricFamily
Sample = tuple[Sequence[str], float | None]


def family(metric: Metric, samples: Iterable[Sample], stratum_labels: Sequence[str] = ()) -> Family:
    """The family with every sample whose value is known; `stratum_labels` follow its own where it is by stratum."""
    labels = (*metric.labels, *stratum_labels) if metric.by_stratum else metric.labels
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    made: Family = make(metric.name, metric.help, labels=labels, unit=metric.openmetrics_unit)
    for values, value in samples:
        if value is not None and not math.isnan(value):
            made.add_metric([encodable(text) for text in values], value)
    return made


def from_zero(known: Iterable[str], counts: Mapping[str, int]) -> list[Sample]:
    """One sample per label value, known or seen; 0 where nothing was counted yet."""
    return [((value,), counts.get(value, 0)) for value in dict.fromkeys([*known, *sorted(counts)])]


def timestamp(moment: datetime | None) -> float | None:
    """Seconds since the epoch; None where there is no moment."""
    return None if moment is None else moment.timestamp()
