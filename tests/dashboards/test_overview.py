"""The overview dashboard: up to date, spelled from the metric names, and answered by a real Prometheus."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support.prometheus import StartPrometheus
from support.snapshots import FACTS, FULL

from riskmon.publish import Server, build_app, names

ROOT = Path(__file__).parents[2]
OVERVIEW = ROOT / "dashboards" / "riskmon-overview.json"
COMMAND = "python -m dashboards.build > dashboards/riskmon-overview.json"

VARIABLES = {"$__rate_interval": "10s", "$job": "riskmon", "$instance": ".*", "$harm": ".*"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def dashboard() -> dict[str, Any]:
    return json.loads(OVERVIEW.read_text(encoding="utf-8"))


def expressions() -> Iterator[str]:
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]


def test_regenerating_gives_the_committed_file():
    done = subprocess.run(
        [sys.executable, "-m", "dashboards.build"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert OVERVIEW.read_text(encoding="utf-8") == done.stdout, f"run: {COMMAND}"


def test_every_metric_of_every_expression_is_declared():
    declared = {metric.name for metric in names.ALL}
    variables = [variable["query"] for variable in dashboard()["templating"]["list"]]
    used = {name for text in [*expressions(), *variables] for name in re.findall(r"riskmon_\w+", text)}
    assert used <= declared
    assert len(used) > 20


def test_every_question_of_the_person_on_call_has_a_panel():
    asked = {
        names.TOTAL_DAILY_HARMFUL_OUTPUTS,
        names.TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER,
        names.TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER,
        names.RISK_BUDGET,
        names.TOTAL_ANY_HARMFUL_OUTPUT_PROBABILITY,
        names.DAILY_HARMFUL_OUTPUTS,
        names.TOTAL_HARM_PROBABILITY,
        names.TOTAL_HARM_PROBABILITY_UPPER,
        names.ESTIMATE_COVERAGE_GAP_RATIO,
        names.ESTIMATE_KHAT,
        names.ESTIMATE_ESS_RATIO,
        names.ESTIMATE_WEIGHT_MEAN,
        names.ESTIMATE_LAST_SUCCESS,
        names.FORECAST_LAST_SUCCESS,
        names.PROMPTS_CONSUMED,
        names.PROMPTS_REJECTED,
        names.KAFKA_LAG,
        names.KAFKA_UP,
    }
    shown = {name for text in expressions() for name in re.findall(r"riskmon_\w+", text)}
    assert {metric.name for metric in asked} <= shown


def test_every_panel_says_what_it_shows():
    for panel in panels():
        assert panel["title"]
        assert len(panel["description"]) > 30, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_fill_the_grid_without_overlapping():
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


def test_every_variable_of_an_expression_is_offered():
    offered = {variable["name"] for variable in dashboard()["templating"]["list"]}
    assert offered == {"datasource", "job", "instance", "harm"}
    used = {name for text in expressions() for name in re.findall(r"\$(\w+)", text)}
    assert used - {"__rate_interval"} <= offered


def test_a_real_prometheus_answers_every_expression(prometheus: StartPrometheus):
    app = build_app(lambda: FULL, lambda: FACTS, lambda: {"publish": True}, list)
    with Server(app, "127.0.0.1:0") as server:
        host, port = server.address
        watcher = prometheus(f"{host}:{port}")
        for expression in dict.fromkeys(expressions()):
            for variable, value in VARIABLES.items():
                expression = expression.replace(variable, value)
            rows = watcher.wait_for(expression)
            assert all(row["value"][1] != "NaN" for row in rows), expression

        over_budget = panels()[0]["targets"][0]["expr"]
        for variable, value in VARIABLES.items():
            over_budget = over_budget.replace(variable, value)
        assert watcher.values(over_budget, "harm") == {"misuse": 27.4 / 10, "insult": 318 / 500}
        (failed,) = [text for text in expressions() if names.JOB_FAILURES.name in text]
        by_task = watcher.values(failed.replace("$job", "riskmon").replace("$instance", ".*"), "task")
        assert set(by_task) == set(FACTS.jobs)
