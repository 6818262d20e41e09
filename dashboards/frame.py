"""What the dashboards share: variables, links, annotations, and rows of panels one under another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from dashboards import events, links, variables
from dashboards.links import Docs

AnyPanel = stat.Panel | timeseries.Panel | bargauge.Panel | table.Panel


@dataclass(frozen=True)
class Row:
    """Panels under a heading.

    Args:
        title: the question that they answer.
        panels: from left to right, line by line.
        repeat: variable for each of whose values the row is shown once.
    """

    title: str
    panels: Sequence[AnyPanel]
    repeat: str | None = None


def board(
    title: str,
    uid: str,
    description: str,
    rows: Iterable[Row],
    docs: Docs,
    *,
    more: Iterable[builders.QueryVariable] = (),
) -> builders.Dashboard:
    """A dashboard; `more` are variables after data source, job, instance and harm."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([links.TAG])
        .editable()
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("1m")
        .time("now-2d", "now")
        .with_variable(variables.source())
        .link(links.others())
        .link(docs.page("What to do", "runbooks/README.md"))
        .annotation(events.new_model())
        .annotation(events.firing())
    )
    for variable in (*variables.of_target(), variables.of_harm(), *more):
        made.with_variable(variable)
    for row in rows:
        _add(made, row)
    return made


def _add(made: builders.Dashboard, row: Row) -> None:
    heading = builders.Row(row.title)
    made.with_row(heading.repeat(row.repeat) if row.repeat else heading)
    for panel in row.panels:
        made.with_panel(panel)
