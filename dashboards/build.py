"""riskmon-overview.json: is risk up, and is it the traffic, the model or the estimator?

`python -m dashboards.build > dashboards/riskmon-overview.json`, run from the repository's root, writes it anew; a test
says when that is due. Queries, panels and rows have a module each; here they become one dashboard with its variables.
"""

from __future__ import annotations

import json
import sys

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from dashboards import rows
from dashboards.panels import SOURCE
from riskmon.publish import names
from riskmon.publish.names.metric import HARM


def overview() -> builders.Dashboard:
    """The dashboard."""
    board = (
        builders.Dashboard("riskmon overview")
        .uid("riskmon-overview")
        .description(
            "Harmful outputs that a deployed language model is expected to produce in the next 24 hours."
        )
        .tags(["riskmon"])
        .editable()
        .timezone("utc")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .refresh("1m")
        .time("now-2d", "now")
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_label_values("job", "Job", f"label_values({names.BUILD_INFO.name}, job)"))
        .with_variable(
            _label_values(
                "instance", "Instance", f'label_values({names.BUILD_INFO.name}{{job=~"$job"}}, instance)'
            )
        )
        .with_variable(
            _label_values(
                HARM,
                "Harm",
                f'label_values({names.TOTAL_DAILY_HARMFUL_OUTPUTS.name}{{job=~"$job"}}, {HARM})',
            )
        )
    )
    for tile in rows.at_a_glance():
        board.with_panel(tile)
    for title, repeat, panels in (
        (f"Harm: ${HARM}", HARM, rows.of_one_harm()),
        ("Health of the estimator", None, rows.estimator_health()),
        ("Freshness and work", None, rows.freshness_and_work()),
        ("Intake", None, rows.intake()),
        ("Rewording", None, rows.rewording()),
    ):
        row = builders.Row(title)
        board.with_row(row.repeat(repeat) if repeat else row)
        for panel in panels:
            board.with_panel(panel)
    return board


def _label_values(name: str, label: str, query: str) -> builders.QueryVariable:
    """A variable that offers the values of a label, all of them by default."""
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(selected=True, text="All", value="$__all"))
    )


def render() -> str:
    """The dashboard as JSON, the same on every run; panels are numbered in their order."""
    board = overview().build()
    for number, panel in enumerate(board.panels or [], start=1):
        panel.id_val = number
    return json.dumps(board, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
