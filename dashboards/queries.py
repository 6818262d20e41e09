"""PromQL of the dashboards: every name comes from `riskmon/publish/names/` and is spelled nowhere else.

`$job`, `$instance` and `$harm` are the dashboard's variables; `build.py` declares them.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import prometheus

from riskmon.publish.names.metric import HARM, Metric


def series(metric: Metric) -> str:
    """The selected series of a metric."""
    matchers = [f'{label}=~"${label}"' for label in ("job", "instance")]
    if HARM in metric.labels:
        matchers.append(f'{HARM}=~"${HARM}"')
    return f"{metric.name}{{{','.join(matchers)}}}"


def rate(counter: Metric) -> str:
    """Growth of a counter per second, added up over the instances."""
    by = f" by ({', '.join(counter.labels)})" if counter.labels else ""
    return f"sum{by} (rate({series(counter)}[$__rate_interval]))"


def age(timestamp: Metric) -> str:
    """Seconds since a timestamp."""
    return f"time() - {series(timestamp)}"


def query(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """A query over the dashboard's time range."""
    return prometheus.Dataquery().expr(expression).range().legend_format(legend)


def present(expression: str, legend: str = "__auto") -> prometheus.Dataquery:
    """A query for this moment: what is gone shows as gone, not with its last value."""
    return prometheus.Dataquery().expr(expression).instant().legend_format(legend)
