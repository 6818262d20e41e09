"""From a change in the traffic to the pager: broker, daemon, Prometheus, Alertmanager and webhook, all real.

Nothing but the prompts of one route changes. Crontabs know no less than a minute, so that this takes about two: one of
calm to compare with, and one until the next estimate cycle.
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.alertmanager import StartAlertmanager
from support.daemon import running, write_config
from support.http_sink import Sink, sink
from support.kafka import Cluster
from support.prometheus import PrometheusServer, StartPrometheus
from support.worlds import BAD, World

from riskmon.bench.answers import enumerate_answers as every_answer
from riskmon.config_file import load_config
from riskmon.publish.rules import render_rules

CALM, RISKY = "ask red or blue", "blue calm and"
TOKENS = 3
PER_SECOND = {"chat": 12, "agents": 8}
WITHIN_S = 200.0


class Traffic:
    """Two routes at a steady rate; the prompts of one can be changed."""

    def __init__(self, broker: Cluster, topic: str) -> None:
        self.prompts = dict.fromkeys(PER_SECOND, CALM)
        self._broker, self._topic = broker, topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _send(self) -> None:
        begun, sent = time.monotonic(), 0
        while not self._stop.wait(0.2):
            # What is due by now, so that a busy machine changes no rate.
            due = int(time.monotonic() - begun)
            if due > sent:
                self._broker.produce(self._topic, self._second() * (due - sent))
                sent = due

    def _second(self) -> list[bytes]:
        return [
            json.dumps({"prompt": self.prompts[route], "attributes": {"route": route}}).encode()
            for route, count in PER_SECOND.items()
            for _ in range(count)
        ]


def configure(folder: Path, world: World, broker: Cluster, topic: str) -> Path:
    return write_config(
        folder,
        world.target,
        model={
            "target": str(world.target),
            "device": "cpu",
            "chat_template": "none",
            "max_new_tokens": TOKENS,
        },
        experts=[{"name": "unsafe", "kind": "checkpoint", "path": str(world.experts["unsafe"])}],
        harms=[{"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}}],
        estimate={"samples_per_prompt": 100, "defensive_share": 0.25, "schedule": "* * * * *"},
        # A minute is to the toy what a day is to a deployment.
        forecast={"schedule": "* * * * *", "draws": 400, "lookback": "60s"},
        traffic={
            "kafka": {"bootstrap_servers": [broker.bootstrap], "topic": topic, "start": "earliest"},
            "strata": ["attributes.route"],
            "window": "10s",
            "sample_per_window": 4,
            "flush_interval": "200ms",
        },
        sensitivity={"schedule": None},
        # A hundred draws of a toy have heavy weights now and then, which would silence the page.
        rules={"sustained": "500ms", "trailing_window": "60s", "unhealthy_share": 0.99},
    )


def alerts(seen: Sink, **labels: str) -> list[dict[str, Any]]:
    """Firing alerts with these labels, as a receiver was told of them."""
    return [
        alert
        for _, _, body in list(seen.requests)
        for alert in body["alerts"]
        if alert["status"] == "firing" and labels.items() <= alert["labels"].items()
    ]


def times(server: PrometheusServer, series: str) -> list[tuple[float, float]]:
    """(time, value) of every sample of the last minutes, the oldest first."""
    [found] = server.query(f"{series}[4m]")
    return [(at, float(value)) for at, value in found["values"]]


@pytest.mark.slow
def test_riskier_prompts_on_one_route_page_through_the_webhook(
    kafka_broker: Cluster,
    prometheus: StartPrometheus,
    alertmanager: StartAlertmanager,
    world: World,
    tmp_path: Path,
) -> None:
    p = {prompt: probability(world, prompt) for prompt in (CALM, RISKY)}
    assert 15 < p[RISKY] / p[CALM] < 25
    topic = kafka_broker.create_topic()
    config = configure(tmp_path, world, kafka_broker, topic)
    spike = {"alertname": "RiskmonRiskSpike", "harm": "bad"}
    with sink() as pages, sink() as tickets, running(config) as daemon:
        traffic = Traffic(kafka_broker, topic)
        told = alertmanager({"pager": pages.url, "tickets": tickets.url})
        watcher = prometheus(daemon.address, render_rules(load_config(config)), told.address)

        def until(holds: Any, what: str) -> Any:
            return daemon.wait_until(holds, what, WITHIN_S)

        # A level to compare with.
        total = "riskmon_total_harm_probability"
        until(lambda: watcher.query(f"count_over_time({total}[60s]) >= 40"), "there is a trailing level")
        calm = watcher.values(total, "harm")["bad"]
        assert calm == pytest.approx(p[CALM], rel=0.3)
        assert watcher.query('ALERTS{alertname=~"Riskmon.+"}') == []

        # Right after a cycle, so that the next one sees most of a minute of it: the rule compares with what was before.
        last = watcher.query("riskmon_estimate_last_success_timestamp_seconds")
        until(
            lambda: watcher.query("riskmon_estimate_last_success_timestamp_seconds > " + last[0]["value"][1]),
            "a cycle ends",
        )
        traffic.prompts["agents"] = RISKY
        page = until(lambda: alerts(pages, **spike), "the spike pages")[0]
        assert page["labels"] == spike | {
            "job": "riskmon",
            "driver": "p",
            "severity": "page",
            "instance": daemon.address,
        }
        assert "answered more harmfully" in page["annotations"]["description"]
        until(lambda: alerts(tickets, **spike, driver="p", severity="ticket"), "the ticket comes beside it")
        until(lambda: alerts(tickets, alertname="RiskmonStratumRiskSpike"), "the stratum is named")
        assert {one["labels"]["route"] for one in alerts(tickets, alertname="RiskmonStratumRiskSpike")} == {
            "agents"
        }
        assert alerts(pages) == alerts(pages, **spike)  # nothing else paged

        # From the scrape that shows it: pending at one evaluation, firing at the next.
        shown = next(at for at, value in times(watcher, total) if value > 2 * calm)
        fired = times(watcher, 'ALERTS{alertname="RiskmonRiskSpike",severity="page",alertstate="firing"}')[0][
            0
        ]
        evaluations = times(watcher, "instance_harm:riskmon_total_harm_probability:trailing")
        assert len([at for at, _ in evaluations if shown <= at <= fired]) <= 2

        traffic.end()
        assert daemon.end() == 0


def probability(world: World, prompt: str) -> float:
    """Exact P[the answer holds the bad word]."""
    found = every_answer(world.model, prompt, TOKENS)
    return found.mass(found.holding([BAD]))
