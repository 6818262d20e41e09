"""PromQL of the dashboards: every name of riskmon comes from `riskmon/publish/names/` and is spelled nowhere else.

`$job`, `$instance` and `$harm` are the dashboards' variables; `frame.py` declares them. The variables of strata, whose
label names are configuration, are in `strata.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from riskmon.publish.names.metric import HARM, Metric

# Of Prometheus itself and of its client library; `process_*` cover the main process, not the device worker.
UP = Metric("up", "gauge", "bool", "1 when the last scrape succeeded.")
SCRAPE_DURATION = Metric("scrape_duration_seconds", "gauge", "seconds", "How long the last scrape took.")
PROCESS_MEMORY = Metric("process_resident_memory_bytes", "gauge", "bytes", "Resident memory.")
PROCESS_CPU = Metric("process_cpu_seconds_total", "counter", "seconds", "Time on the processor.")
PROCESS_FDS = Metric("process_open_fds", "gauge", "descriptors", "Open file descriptors.")
PROCESS_MAX_FDS = Metric("process_max_fds", "gauge", "descriptors", "Most that may be open.")

OF_TARGET = 'job=~"$job",instance=~"$instance"'
# Rules that aggregate leave job and instance away, and such alerts are shown whatever is chosen.
FIRING = 'ALERTS{alertname=~"Riskmon.+",alertstate="firing",job=~"$job|",instance=~"$instance|"}'


def series(metric: Metric, *more: str) -> str:
    """The selected series of a metric; `more` are further matchers."""
    of_harm = (f'{HARM}=~"${HARM}"',) if HARM in metric.labels else ()
    return f"{metric.name}{{{','.join((OF_TARGET, *of_harm, *more))}}}"


def rate(counter: Metric) -> str:
    """Growth of a counter per second, added up over the instances."""
    return f"sum{_by(counter)} (rate({series(counter)}[$__rate_interval]))"


def growth(counter: Metric, window: str) -> str:
    """Growth of a counter over a window such as `1h`, added up over the instances."""
    return f"sum{_by(counter)} (increase({series(counter)}[{window}]))"


def age(timestamp: Metric) -> str:
    """Seconds since a timestamp."""
    return f"time() - {series(timestamp)}"


def one_per(labels: Iterable[str], metric: Metric) -> str:
    """One value for each combination of labels, so that the columns of a table find one another."""
    return f"max by ({', '.join(labels)}) ({series(metric)})"


def named(label: str, expressions: dict[str, str]) -> str:
    """Several expressions as one, told apart by the value of a new label."""
    return " or ".join(
        f'label_replace({expression}, "{label}", "{value}", "", "")'
        for value, expression in expressions.items()
    )


def _by(counter: Metric) -> str:
    return f" by ({', '.join(counter.labels)})" if counter.labels else ""


def query(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """A query over the dashboard's time range."""
    return prometheus.Dataquery().expr(expression).range().legend_format(legend)


def present(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """A query for this moment: what is gone shows as gone, not with its last value."""
    return prometheus.Dataquery().expr(expression).instant().legend_format(legend)


def column(expression: str) -> prometheus.Dataquery:
    """A query for this moment whose values become a column of a table, one row for each set of labels."""
    return present(expression).format(PromQueryFormat.TABLE)
