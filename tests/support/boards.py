"""The committed Grafana dashboards, taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from riskmon.publish import names

ROOT = Path(__file__).parents[2]
BOARDS = ("riskmon-overview", "riskmon-estimator", "riskmon-pipeline")

# One alert that fires at once, so that there is something to show.
OVER_BUDGET = f"""
groups:
  - name: riskmon
    rules:
      - alert: RiskmonForecastOverBudget
        expr: {names.TOTAL_DAILY_HARMFUL_OUTPUTS.name} / {names.RISK_BUDGET.name} > 1
        labels: {{severity: page}}
"""

Board = dict[str, Any]


def read(uid: str, folder: Path = ROOT / "dashboards") -> Board:
    board: Board = json.loads((folder / f"{uid}.json").read_text(encoding="utf-8"))
    return board


def panels(board: Board) -> list[dict[str, Any]]:
    """All but the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets(board: Board) -> Iterator[dict[str, Any]]:
    for panel in panels(board):
        yield from panel["targets"]


def annotations(board: Board) -> list[str]:
    return [annotation["expr"] for annotation in board["annotations"]["list"]]


def variables(board: Board) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def filled(expression: str, values: dict[str, str]) -> str:
    """The expression with variables put in, longest name first."""
    for name in sorted(values, key=len, reverse=True):
        expression = expression.replace(f"${{{name}:raw}}", values[name]).replace(f"${name}", values[name])
    return expression
