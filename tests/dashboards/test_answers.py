"""Every expression of every dashboard, put to a real Prometheus that scrapes a real riskmon whose counters grow."""

import math
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.boards import (
    BOARDS,
    OVER_BUDGET,
    Board,
    annotations,
    filled,
    panels,
    read,
    targets,
    variables,
)
from support.prometheus import PrometheusServer, StartPrometheus
from support.snapshots import FACTS
from support.two_days import LENGTH, TwoDays

from dashboards import build
from riskmon.publish import Server, build_app, names
from riskmon.records import Snapshot

CHOSEN = {
    "__rate_interval": "10s",
    "__range": "1h",
    "job": "riskmon",
    "instance": ".*",
    "harm": ".*",
    "stratum": 'job=~".+"',
}
SCRAPES = 6
# One for all, since each new one reads certificates.
_CLIENT = httpx.Client()


class Quickened:
    """A riskmon for which six hours pass between two looks."""

    def __init__(self) -> None:
        self._life = TwoDays(datetime(2026, 3, 9, 14, 7, 21, tzinfo=UTC))
        self._now = self._life.end - LENGTH / 2

    def __call__(self) -> Snapshot:
        self._now += timedelta(hours=6)
        return self._life.snapshot(self._now)


@pytest.fixture
def watcher(prometheus: StartPrometheus) -> Iterator[PrometheusServer]:
    app = build_app(Quickened(), lambda: FACTS, lambda: {"publish": True}, list)
    with Server(app, "127.0.0.1:0") as server:
        host, port = server.address
        running = prometheus(f"{host}:{port}", OVER_BUDGET)
        running.wait_for(f"changes({names.PROMPTS_CONSUMED.name}[1m]) >= {SCRAPES}")
        running.wait_for('ALERTS{alertstate="firing"}')
        yield running


def answer(watcher: PrometheusServer, target: dict[str, Any], chosen: dict[str, str]) -> list[float]:
    """The values of an expression, asked as its panel asks: at this moment, or over some seconds."""
    expression, now = filled(target["expr"], chosen), time.time()
    if target.get("instant"):
        how, times = "query", {"time": now}
    else:
        how, times = "query_range", {"start": now - 4, "end": now, "step": 1.0}
    got = _CLIENT.get(f"{watcher.url}/api/v1/{how}", params={"query": expression, **times})
    assert got.status_code == 200, f"{expression}: {got.text}"
    rows = got.json()["data"]["result"]
    return [float(value) for row in rows for _, value in row.get("values") or [row["value"]]]


def assert_answered(watcher: PrometheusServer, board: Board, chosen: dict[str, str]) -> None:
    asked = 0
    for panel in panels(board):
        for target in panel["targets"]:
            values = answer(watcher, target, chosen)
            assert values, f"{panel['title']}: nothing for {target['expr']}"
            assert not any(math.isnan(value) for value in values), f"{panel['title']}: {target['expr']}"
            asked += 1
    assert asked > 15


def test_a_real_prometheus_answers_every_expression(watcher, tmp_path):
    for uid in BOARDS:
        assert_answered(watcher, read(uid), CHOSEN)
    for expression in annotations(read("riskmon-overview")):
        assert watcher.query(filled(expression, CHOSEN)), expression

    # Counters grew, in every panel that shows growth.
    growing = [t for uid in BOARDS for t in targets(read(uid)) if re.search(r"rate\(|increase\(", t["expr"])]
    assert len(growing) > 10
    for target in growing:
        assert max(answer(watcher, target, CHOSEN)) > 0, target["expr"]

    # With named strata, and one of their values chosen.
    build.main(["--strata", "route,model", "--out", str(tmp_path)])
    assert_answered(
        watcher, read("riskmon-overview", tmp_path), {**CHOSEN, "route": "agents|chat", "model": ".*"}
    )

    # One stratum chosen from the list that Grafana makes of the variable's query.
    board = read("riskmon-overview")
    (agents,) = [stratum for stratum in strata(watcher, board) if "agents" in stratum]
    assert_answered(watcher, board, {**CHOSEN, "harm": "misuse", "stratum": agents})
    (table,) = [panel for panel in panels(board) if panel["title"].startswith("Which strata")]
    assert len(answer(watcher, table["targets"][0], {**CHOSEN, "harm": "misuse", "stratum": agents})) == 1

    assert watcher.values("ALERTS", "alertname").keys() >= {"RiskmonForecastOverBudget"}
    assert offered(watcher, variables(board)["harm"]["query"]) == ["insult", "misuse"]
    assert offered(watcher, variables(board)["job"]["query"]) == ["riskmon"]


def strata(watcher: PrometheusServer, board: Board) -> list[str]:
    """The values of the variable, as Grafana makes them: `{label="value", ...} 1 time`, cut by its expression."""
    variable = variables(board)["stratum"]
    (inner,) = re.findall(r"^query_result\((.*)\)$", variable["query"])
    lines = [
        "{"
        + ",".join(f'{label}="{value}"' for label, value in row["metric"].items())
        + f"}} {row['value'][1]} 0"
        for row in watcher.query(filled(inner, CHOSEN))
    ]
    cut = re.compile(variable["regex"].strip("/"))
    return [match.group(1) for line in lines if (match := cut.search(line))]


def offered(watcher: PrometheusServer, query: str) -> list[str]:
    """The values that `label_values(series, label)` finds."""
    (series, label) = re.findall(r"^label_values\((.*), (\w+)\)$", query)[0]
    got = _CLIENT.get(
        f"{watcher.url}/api/v1/label/{label}/values", params={"match[]": filled(series, CHOSEN)}
    )
    values: list[str] = got.raise_for_status().json()["data"]
    return values
