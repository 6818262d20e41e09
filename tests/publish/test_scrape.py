"""The metrics as Prometheus itself sees them."""

from dataclasses import replace

import httpx
import pytest
from support.prometheus import StartPrometheus, lint_metrics
from support.snapshots import EMPTY, FACTS, FULL, forecast, stratum

from riskmon.publish import Server, build_app
from riskmon.records import Snapshot


def serve(snapshot: Snapshot) -> Server:
    return Server(build_app(lambda: snapshot, lambda: FACTS, lambda: {"publish": True}, list), "127.0.0.1:0")


@pytest.mark.parametrize("snapshot", [FULL, EMPTY], ids=["full", "empty"])
def test_promtool_finds_nothing_to_object_to(snapshot):
    with serve(snapshot) as server:
        assert lint_metrics(httpx.get(f"{server.url}/metrics").text) == ""


def test_promtool_does_object_to_a_bad_exposition():
    assert "counter metrics should have" in lint_metrics("# HELP x_y y\n# TYPE x_y counter\nx_y 1\n")


def test_prometheus_scrapes_the_forecast(prometheus: StartPrometheus):
    hostile = 'quote " back \\ slash\nnewline 模型'
    cell = forecast("insult", stratum(hostile), (3.5, 1, 7, 0.97, 900, 4e-3, 6e-3, 12, 5))
    with serve(replace(FULL, forecasts=(*FULL.forecasts, cell))) as server:
        host, port = server.address
        watcher = prometheus(f"{host}:{port}")
        watcher.wait_for("riskmon_forecast_total_daily_harmful_outputs")
        total = watcher.values("riskmon_forecast_total_daily_harmful_outputs", "harm")
        assert total == {"misuse": 27.4, "insult": 318}
        by_route = watcher.values(
            'riskmon_forecast_daily_harmful_outputs{harm="insult",model="chat-v3"}', "route"
        )
        assert by_route == {"chat": 249, "agents": 38.2, "summarise": 5.61, hostile: 3.5}
        burn = "riskmon_forecast_total_daily_harmful_outputs / riskmon_risk_budget_daily_harmful_outputs > 1"
        assert watcher.values(burn, "harm") == {"misuse": pytest.approx(2.74)}
        assert watcher.values('up{job="riskmon"}', "job") == {"riskmon": 1}
