"""The drop-downs at the top: a data source, and label values that Prometheus itself tells."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import SOURCE
from riskmon.publish import names
from riskmon.publish.names.metric import HARM


def source() -> builders.DatasourceVariable:
    """Which Prometheus to ask."""
    return builders.DatasourceVariable("datasource").label("Data source").type("prometheus")


def of_target() -> list[builders.QueryVariable]:
    """Job and instance."""
    info = names.BUILD_INFO.name
    return [
        label_values("job", "Job", f"label_values({info}, job)"),
        label_values("instance", "Instance", f'label_values({info}{{job=~"$job"}}, instance)'),
    ]


def of_harm() -> builders.QueryVariable:
    """Harm; every configured one is counted from the start, forecast or not."""
    return label_values(HARM, "Harm", f'label_values({names.OBSERVED_OUTPUTS.name}{{job=~"$job"}}, {HARM})')


def label_values(name: str, label: str, query: str) -> builders.QueryVariable:
    """A variable that offers the values of a label, all of them by default."""
    return _of_prometheus(name, label, query).multi(True).all_value(".*")


def one_of(name: str, label: str, query: str, *, found: str, every: str) -> builders.QueryVariable:
    """A variable that takes one of several texts.

    Args:
        name: of the variable.
        label: beside the drop-down.
        query: as Grafana's Prometheus data source understands it.
        found: regular expression whose group is the text.
        every: the text that stands for all of them.
    """
    return _of_prometheus(name, label, query).regex(found).all_value(every)


def _of_prometheus(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .include_all(True)
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )
