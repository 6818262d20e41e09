"""The shapes of panel, and what all share: title, description, unit, data source, size, what an empty one says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common, dashboard

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
BLUE, GREEN, AMBER, RED, GREY = "blue", "green", "orange", "red", "text"
# Of a metric that is there whenever riskmon is scraped.
NOT_SCRAPED = "Nothing was scraped in this time range"

# In cells of Grafana's grid, which is 24 wide.
_GRAPH_HEIGHT, _TILE_HEIGHT = 8, 4
_TILE_WIDTH, _GRAPH_WIDTH = 4, 8

Panel = TypeVar("Panel", stat.Panel, timeseries.Panel, bargauge.Panel, table.Panel)


def tile(
    title: str, description: str, unit: str, *queries: prometheus.Dataquery, empty: str = NOT_SCRAPED
) -> stat.Panel:
    """A figure that is read at one glance."""
    panel = (
        stat.Panel()
        .height(_TILE_HEIGHT)
        .span(_TILE_WIDTH)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(_last())
    )
    return _said(panel, title, description, unit, empty, queries)


def graph(
    title: str, description: str, unit: str, *queries: prometheus.Dataquery, empty: str = NOT_SCRAPED
) -> timeseries.Panel:
    """Lines over time."""
    panel = (
        timeseries.Panel()
        .height(_GRAPH_HEIGHT)
        .span(_GRAPH_WIDTH)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    return _said(panel, title, description, unit, empty, queries)


def bars(
    title: str, description: str, unit: str, *queries: prometheus.Dataquery, empty: str = NOT_SCRAPED
) -> bargauge.Panel:
    """One bar for each series, as it is now."""
    panel = (
        bargauge.Panel()
        .height(_GRAPH_HEIGHT)
        .span(_GRAPH_WIDTH)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .min(0)
        .reduce_options(_last())
    )
    return _said(panel, title, description, unit, empty, queries)


def listing(
    title: str,
    description: str,
    unit: str,
    columns: Mapping[str, prometheus.Dataquery],
    *,
    empty: str,
    hidden: tuple[str, ...] = (),
) -> table.Panel:
    """A table with a column for each query, joined by the labels that they share.

    Args:
        title: the question.
        description: what it shows, and how to read it.
        unit: of the figures; a column may override it.
        columns: queries by the name of their column; a cell without a value shows a dash.
        empty: what stands there without rows.
        hidden: labels that no one needs to see.
    """
    found = {
        f"Value #{_letter(place)}" if len(columns) > 1 else "Value": name
        for place, name in enumerate(columns)
    }
    panel = (
        table.Panel()
        .height(_GRAPH_HEIGHT)
        .span(_GRAPH_WIDTH)
        .frame_index(0)
        .show_header(True)
        .min_width(60)
        .align(common.FieldTextAlignment.AUTO)
        .cell_options(common.TableAutoCellOptions())
    )
    if len(columns) > 1:
        panel.with_transformation(dashboard.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(
        dashboard.DataTransformerConfig(
            id_val="organize",
            options={
                "excludeByName": dict.fromkeys(("Time", *hidden), True),
                "includeByName": {},
                "indexByName": {},
                "renameByName": found,
            },
        )
    )
    for name in columns:
        panel.override_by_name(name, properties(noValue="–"))
    return _said(panel, title, description, unit, empty, tuple(columns.values()))


def _said(
    panel: Panel,
    title: str,
    description: str,
    unit: str,
    empty: str,
    queries: tuple[prometheus.Dataquery, ...],
) -> Panel:
    panel.title(title).description(description).unit(unit).datasource(SOURCE).no_value(empty)
    for place, target in enumerate(queries):
        panel.with_target(target.ref_id(_letter(place)))
    return panel


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _last() -> common_builders.ReduceDataOptions:
    return common_builders.ReduceDataOptions().calcs(["lastNotNull"])


def limits(*steps: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Colours from a value on; the first has none."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


def marked(panel: timeseries.Panel, value: float) -> timeseries.Panel:
    """The graph with a red line at the value beyond which something is wrong."""
    return panel.thresholds(limits((None, GREEN), (value, RED))).thresholds_style(
        common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    )


def stacked(panel: timeseries.Panel) -> timeseries.Panel:
    """The graph with its series on top of one another; only for what adds up."""
    return (
        panel.min(0)
        .fill_opacity(30)
        .stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    )


def logarithmic(panel: timeseries.Panel) -> timeseries.Panel:
    """The graph on a scale of powers of ten."""
    return panel.scale_distribution(
        common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
    )


def properties(**values: object) -> list[dashboard.DynamicConfigValue]:
    """Field properties of an override; a double underscore stands for the dot in a name."""
    return [
        dashboard.DynamicConfigValue(id_val=name.replace("__", "."), value=value)
        for name, value in values.items()
    ]


def fixed(color: str) -> dict[str, str]:
    """A colour of its own for a series."""
    return {"mode": "fixed", "fixedColor": color}
