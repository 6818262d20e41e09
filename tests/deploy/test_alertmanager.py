"""deploy/alertmanager/alertmanager.yaml: accepted, routed by severity, without secrets; and inhibited as it says."""

import re
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.alertmanager import DEPLOYED, AlertmanagerServer, StartAlertmanager
from support.prometheus import installed

RULES = DEPLOYED.parents[1] / "rules" / "riskmon.yaml"


def amtool(*args: str | Path) -> str:
    done = subprocess.run([installed("amtool"), *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_accepts_it():
    found = amtool("check-config", DEPLOYED)
    assert "SUCCESS" in found
    assert "8 inhibit rules" in found


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=RiskmonRiskSpike", "severity=page"), "pager"),
        (("alertname=RiskmonRiskSpike", "severity=ticket", "driver=volume"), "tickets"),
        (("alertname=RiskmonAbsent", "severity=ticket"), "tickets"),
        (("alertname=SomethingElse",), "tickets"),
    ],
)
def test_severity_says_who_is_told(labels, receiver):
    route = amtool("config", "routes", "test", f"--config.file={DEPLOYED}", *labels)
    assert route.split() == [receiver]


def test_no_secret_stands_in_the_file():
    text = DEPLOYED.read_text(encoding="utf-8")
    keys = set(
        re.findall(r"^\s*(?:- )?(\w*(?:url|key|token|password|secret|credentials)\w*):", text, flags=re.M)
    )
    assert keys == {"slack_api_url_file", "routing_key_file", "credentials_file", "url"}
    assert re.findall(r"^\s*- url: (.+)$", text, flags=re.M) == ["http://127.0.0.1:9099/alerts"]


def test_every_alert_that_is_named_exists():
    config = yaml.safe_load(DEPLOYED.read_text(encoding="utf-8"))
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    named = set(re.findall(r"Riskmon[A-Z]\w+", str(config["inhibit_rules"])))
    assert named
    assert named <= alerts


# ---- inhibition, by a real Alertmanager

A, B = {"job": "riskmon", "instance": "a:9108"}, {"job": "riskmon", "instance": "b:9108"}
MISUSE, INSULT = {"harm": "misuse"}, {"harm": "insult"}
PAGE, TICKET = {"severity": "page"}, {"severity": "ticket"}


def named(name: str, *labels: dict[str, str]) -> dict[str, str]:
    merged = {"alertname": name}
    for some in labels:
        merged |= some
    return merged


def states(server: AlertmanagerServer, *alerts: dict[str, str]) -> list[str]:
    """Send alerts, and give the state that Alertmanager has each in."""
    now = datetime.now(UTC)
    body: list[dict[str, Any]] = [
        {
            "labels": labels,
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=5)).isoformat(),
        }
        for labels in alerts
    ]
    httpx.post(f"http://{server.address}/api/v2/alerts", json=body).raise_for_status()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = {frozenset(one["labels"].items()): one["status"]["state"] for one in server.alerts()}
        shown = [found.get(frozenset(labels.items()), "unprocessed") for labels in alerts]
        if "unprocessed" not in shown:
            return shown
        time.sleep(0.1)
    raise AssertionError("Alertmanager did not process the alerts")


SPIKE, BUDGET, BURN = "RiskmonRiskSpike", "RiskmonForecastOverBudget", "RiskmonObservedBurn"
UNHEALTHY = "RiskmonEstimatorUnhealthy"


@pytest.mark.parametrize(
    ("source", "silenced", "loud"),
    [
        (
            named(UNHEALTHY, A, TICKET, MISUSE),
            [named(SPIKE, A, PAGE, MISUSE), named(BUDGET, A, PAGE, MISUSE)],
            [
                named(SPIKE, A, TICKET, MISUSE),
                named(BUDGET, A, TICKET, MISUSE),
                named(SPIKE, A, PAGE, INSULT),
                named(SPIKE, B, PAGE, MISUSE),
                named(BURN, A, PAGE, MISUSE),
            ],
        ),
        (
            named(UNHEALTHY, A, TICKET),
            [named(SPIKE, A, PAGE, MISUSE), named(SPIKE, A, PAGE, INSULT)],
            [named(SPIKE, A, TICKET, MISUSE), named(SPIKE, B, PAGE, MISUSE)],
        ),
        (
            named("RiskmonEstimateStale", A, TICKET),
            [named(BUDGET, A, PAGE, MISUSE)],
            [named(BUDGET, A, TICKET, MISUSE), named(BURN, A, PAGE, MISUSE), named(BUDGET, B, PAGE, MISUSE)],
        ),
        (
            named("RiskmonForecastStale", A, TICKET),
            [named(BUDGET, A, PAGE, MISUSE)],
            [named(BUDGET, A, TICKET, MISUSE)],
        ),
        (
            named("RiskmonKafkaDown", A, TICKET),
            [named("RiskmonIngestLagging", A, TICKET)],
            [named("RiskmonIngestLagging", B, TICKET), named(BUDGET, A, PAGE, MISUSE)],
        ),
        (
            named("RiskmonStoreDown", A, TICKET, {"reason": "unreadable"}),
            [named(BURN, A, PAGE, MISUSE), named("RiskmonJobFailing", A, TICKET)],
            [named("RiskmonStoreDown", B, TICKET), named("SomethingElse", A, TICKET)],
        ),
        (
            named("RiskmonStoreDown", A, TICKET, {"reason": "unwritable"}),
            [named("RiskmonKafkaDown", A, TICKET), named("RiskmonForecastStale", A, TICKET)],
            [named(BURN, A, PAGE, MISUSE), named("RiskmonKafkaDown", B, TICKET)],
        ),
        (
            named("RiskmonAbsent", A, TICKET),
            [named(BURN, A, PAGE, MISUSE), named("RiskmonStoreDown", A, TICKET)],
            [named(BURN, B, PAGE, MISUSE), named("SomethingElse", A, TICKET)],
        ),
        (
            named("RiskmonAbsent", TICKET, {"job": "riskmon"}),
            [named(BURN, A, PAGE, MISUSE), named(BURN, B, PAGE, MISUSE)],
            [named(BURN, PAGE, {"job": "other", "instance": "a:9108"})],
        ),
    ],
    ids=[
        "unhealthy-harm",
        "unhealthy",
        "stale",
        "forecast-stale",
        "kafka",
        "store",
        "full-disk",
        "absent",
        "no-target",
    ],
)
def test_what_silences_what(source, silenced, loud, alertmanager: StartAlertmanager):
    shown = states(alertmanager({}), source, *silenced, *loud)
    assert shown == ["active"] + ["suppressed"] * len(silenced) + ["active"] * len(loud)
