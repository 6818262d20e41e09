"""A dashboard as Grafana would lay it out, with Prometheus' answer to every expression.

Repeated rows are written out, variables put in, and queries asked over the dashboard's time range, in steps that fit
the width of a graph.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
from support.boards import Board, annotations, filled
from support.prometheus import PrometheusServer

RANGE = timedelta(days=2)
STEP = timedelta(minutes=10)
CHOSEN = {
    "__rate_interval": "18m",
    "__range": "2d",
    "job": "riskmon",
    "instance": ".*",
    "harm": ".*",
    "stratum": 'job=~".+"',
}


def answered(board: Board, watcher: PrometheusServer, harms: list[str], now: datetime) -> dict[str, Any]:
    """The dashboard's panels in their places with their answers, and its annotations."""
    return {
        "title": board["title"],
        "from": (now - RANGE).timestamp() * 1000,
        "to": now.timestamp() * 1000,
        "panels": [
            {**panel, "answers": [_ask(watcher, target, chosen, now) for target in panel.get("targets", [])]}
            for panel, chosen in _laid_out(board, harms)
        ],
        "events": [
            {**event, "series": _over_time(watcher, filled(expression, CHOSEN), now, timedelta(minutes=1))}
            for event, expression in zip(board["annotations"]["list"], annotations(board), strict=True)
        ],
    }


def _laid_out(board: Board, harms: list[str]) -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Panels with the variables that hold for them; a repeated row moves what is below it down."""
    moved = 0
    for row in _rows(board):
        values = harms if row[0].get("repeat") == "harm" else [CHOSEN["harm"]]
        height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in row) - row[0]["gridPos"]["y"]
        for place, value in enumerate(values):
            for panel in row:
                placed = copy.deepcopy(panel)
                placed["gridPos"]["y"] += moved + place * height
                placed["title"] = placed["title"].replace("$harm", value)
                yield placed, {**CHOSEN, "harm": value}
        moved += (len(values) - 1) * height


def _rows(board: Board) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            rows.append([])
        rows[-1].append(panel)
    return rows


def _ask(
    watcher: PrometheusServer, target: dict[str, Any], chosen: dict[str, str], now: datetime
) -> dict[str, Any]:
    expression = filled(target["expr"], chosen)
    if target.get("instant"):
        series = [
            {"metric": row["metric"], "values": [row["value"]]}
            for row in _get(watcher, "query", expression, time=now.timestamp())
        ]
    else:
        series = _over_time(watcher, expression, now, STEP)
    for row in series:
        row["name"] = _legend(target["legendFormat"], row["metric"], expression)
    return {"refId": target["refId"], "table": target.get("format") == "table", "series": series}


def _over_time(
    watcher: PrometheusServer, expression: str, now: datetime, step: timedelta
) -> list[dict[str, Any]]:
    start = (now - RANGE).timestamp()
    return _get(
        watcher, "query_range", expression, start=start, end=now.timestamp(), step=step.total_seconds()
    )


def _get(watcher: PrometheusServer, how: str, expression: str, **times: float) -> list[dict[str, Any]]:
    got = httpx.get(f"{watcher.url}/api/v1/{how}", params={"query": expression, **times}, timeout=60)
    series: list[dict[str, Any]] = got.raise_for_status().json()["data"]["result"]
    return series


def _legend(wanted: str, labels: dict[str, str], expression: str) -> str:
    """As Grafana's data source names a series; empty where the panel makes the name from labels."""
    if wanted == "__auto":
        return "" if labels else expression
    return re.sub(r"\{\{(\w+)\}\}", lambda match: labels.get(match.group(1), ""), wanted)
