"""The two shapes of panel, with what all panels share: title, description, unit, data source and size."""

from __future__ import annotations

from typing import TypeVar

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, dashboard

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
BLUE, GREEN, AMBER, RED = "blue", "green", "orange", "red"

# In cells of Grafana's grid; tiles and graphs to a row.
_GRAPH_HEIGHT, _TILE_HEIGHT, _WIDTH, _TILES, _GRAPHS = 8, 4, 24, 6, 3

Panel = TypeVar("Panel", stat.Panel, timeseries.Panel)


def tile(title: str, description: str, unit: str, *queries: prometheus.Dataquery) -> stat.Panel:
    """A figure that is read at one glance."""
    return _with_queries(
        stat.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .height(_TILE_HEIGHT)
        .span(_WIDTH // _TILES)
        .color_mode(common.BigValueColorMode.VALUE)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"])),
        queries,
    )


def graph(title: str, description: str, unit: str, *queries: prometheus.Dataquery) -> timeseries.Panel:
    """Lines over time."""
    return _with_queries(
        timeseries.Panel()
        .title(title)
        .description(description)
        .unit(unit)
        .datasource(SOURCE)
        .height(_GRAPH_HEIGHT)
        .span(_WIDTH // _GRAPHS)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.LIST)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)),
        queries,
    )


def _with_queries(panel: Panel, queries: tuple[prometheus.Dataquery, ...]) -> Panel:
    for number, target in enumerate(queries):
        panel.with_target(target.ref_id(chr(ord("A") + number)))
    return panel


def limits(*steps: tuple[float | None, str]) -> builders.ThresholdsConfig:
    """Colours from a value on; the first has none."""
    return (
        builders.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


def properties(**values: object) -> list[dashboard.DynamicConfigValue]:
    """Field properties of an override; a double underscore stands for the dot in a name."""
    return [
        dashboard.DynamicConfigValue(id_val=name.replace("__", "."), value=value)
        for name, value in values.items()
    ]
