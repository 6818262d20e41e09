"""Alerts of a period from a real Prometheus; and what is said where there is none, or something else answers."""

import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from pydantic import SecretStr

from riskmon.reporting.alerts import read_alerts

RULES = """
groups:
  - name: test
    rules:
      - alert: RiskmonForecastOverBudget
        expr: vector(1)
        labels: {severity: page, harm: misuse}
      - alert: RiskmonPendingForever
        expr: vector(1)
        for: 1h
      - alert: SomethingElse
        expr: vector(1)
"""


def test_what_fires_is_listed_and_nothing_else(prometheus):
    server = prometheus("127.0.0.1:9", RULES)
    server.wait_for('ALERTS{alertname="RiskmonForecastOverBudget",alertstate="firing"}')
    server.wait_for('ALERTS{alertname="RiskmonPendingForever",alertstate="pending"}')
    now = datetime.now(UTC)
    log = read_alerts(SecretStr(server.url + "/"), now - timedelta(days=7), now)
    assert (log.asked, log.error) == (True, "")
    (alert,) = log.alerts
    assert (alert.name, alert.labels) == ("RiskmonForecastOverBudget", {"severity": "page", "harm": "misuse"})
    assert alert.firing
    assert now - timedelta(minutes=5) <= alert.start <= alert.end <= now


def test_what_was_over_before_the_period_is_not_listed(prometheus):
    server = prometheus("127.0.0.1:9", RULES)
    server.wait_for('ALERTS{alertname="RiskmonForecastOverBudget",alertstate="firing"}')
    then = datetime.now(UTC) - timedelta(days=1)
    assert read_alerts(SecretStr(server.url), then - timedelta(hours=1), then).alerts == ()


def test_nobody_is_asked_without_an_address():
    assert not read_alerts(None, datetime.now(UTC) - timedelta(days=1), datetime.now(UTC)).asked


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, b"", "status 503"),
        (302, b"", "status 302"),
        (200, b"<html>", "no Prometheus"),
        (200, b'{"data": []}', "no Prometheus"),
        (200, b'{"data": {"result": [{"metric": {}, "values": [[1, "1"]]}]}}', "no Prometheus"),
        (200, b"[]", "no Prometheus"),
    ],
)
def test_another_answer_is_said_so(status, body, words):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        log = read_alerts(
            SecretStr(f"http://127.0.0.1:{server.server_port}"),
            datetime.now(UTC) - timedelta(days=1),
            datetime.now(UTC),
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert log.asked
    assert words in log.error


def test_an_address_that_is_away_is_said_so_without_its_password():
    log = read_alerts(
        SecretStr("http://user:hush@127.0.0.1:9"), datetime.now(UTC) - timedelta(days=1), datetime.now(UTC)
    )
    assert "could not be reached" in log.error
    assert "hush" not in repr(log)
