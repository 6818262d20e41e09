"""The forecast on a terminal and as JSON lines."""

from __future__ import annotations

import json

import pytest
from support.snapshots import FORECASTS, OUTLOOK

from riskmon.console import NO_FORECAST, print_forecast
from riskmon.records import Forecast

MADE: list[Forecast] = [*FORECASTS, *(total for total in OUTLOOK if total not in FORECASTS)]


def test_the_table_holds_strata_total_and_every_horizon(capsys: pytest.CaptureFixture[str]) -> None:
    print_forecast(MADE)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "total 27.4 14 46 > 99.9% 1,280,000 2.13e-5 1642 391" in lines
    assert "agents, chat-v3 19.6 8 37 > 99.9% 96,400 2.03e-4 405 288" in lines
    today = lines.index("today 25.9 18.3 to 30.4 15 to 41 6 to 69.7 > 99.9% 99.1% 1,210,000")
    assert lines[today + 1].startswith("next 24 h 27.4 18 to 33 14 to 46")
    assert lines[today + 2].startswith("next 7 days 194")
    assert sum("What would make it sharper" in line for line in lines) == 2


def test_json_lines_carry_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    print_forecast(MADE, as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(MADE)
    assert rows[0]["stratum"] is None
    assert rows[0]["horizon"] == "24h"
    assert rows[0]["variance"]["prompts"] == 0.52
    assert rows[1]["stratum"] == {"route": "agents", "model": "chat-v3"}
    assert {row["horizon"] for row in rows} == {"today", "24h", "7d"}


def test_no_forecast_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_forecast([])
    assert capsys.readouterr().out.strip() == NO_FORECAST
