"""The rules: accepted by promtool, each alert firing when it should and not when it should not, and derived from the
configuration."""

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.prometheus import installed

from riskmon.config import Config
from riskmon.config_file import load_config, parse_config
from riskmon.publish import names
from riskmon.publish.rules import alerts, render_rules

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
DEPLOYED = ROOT / "deploy" / "rules" / "riskmon.yaml"
DEFAULTS = ROOT / "deploy" / "riskmon.yaml"
CASES = sorted(HERE.glob("*.yaml"))


def promtool(*args: str | Path) -> str:
    done = subprocess.run([installed("promtool"), *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configured(**sections: Any) -> Config:
    data = {"model": {"target": "org/model"}, "judge": {"kind": "regex", "pattern": "x"}}
    return parse_config({**data, **sections}, base=Path("/nowhere"))


def rendered(**sections: Any) -> list[dict[str, Any]]:
    """All rules of a configuration, as in the file."""
    groups = yaml.safe_load(render_rules(configured(**sections)))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alert(name: str, rules: list[dict[str, Any]], **labels: str) -> dict[str, Any]:
    (found,) = [
        rule for rule in rules if rule.get("alert") == name and labels.items() <= rule["labels"].items()
    ]
    return found


# ---- the file


def test_the_checked_in_rules_are_those_of_the_default_configuration():
    command = "riskmon rules -c deploy/riskmon.yaml --out deploy/rules/riskmon.yaml"
    assert DEPLOYED.read_text(encoding="utf-8") == render_rules(load_config(DEFAULTS)), f"run: {command}"


def test_promtool_accepts_them():
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", DEPLOYED)


def test_every_metric_of_an_expression_is_declared_or_recorded():
    rules = yaml.safe_load(DEPLOYED.read_text(encoding="utf-8"))["groups"]
    recorded = {rule["record"] for group in rules for rule in group["rules"] if "record" in rule}
    known = {metric.name for metric in names.ALL} | recorded
    text = " ".join(
        rule["expr"] + rule.get("annotations", {}).get("description", "")
        for group in rules
        for rule in group["rules"]
    )
    used = set(re.findall(r"[\w:]*riskmon_\w[\w:]*", text))
    assert used <= known
    assert len(used) > 30


def test_every_alert_has_what_a_person_woken_up_needs():
    for rule in (rule for rule in rendered() if "alert" in rule):
        assert re.fullmatch(r"Riskmon([A-Z][a-z]+)+", rule["alert"])
        assert rule["labels"]["severity"] in {"page", "ticket"}
        notes = rule["annotations"]
        assert set(notes) == {"summary", "description", "runbook_url"}
        assert "{{" not in notes["summary"]
        assert "{{" in notes["description"]
        assert (ROOT / notes["runbook_url"]).is_file(), f"{rule['alert']} has no runbook"


def test_a_page_has_a_ticket_beside_it_so_that_silence_is_never_complete():
    severities: dict[str, set[str]] = {}
    for one in alerts(configured()):
        severities.setdefault(one.name, set()).add(one.severity)
    paging = {name for name, found in severities.items() if "page" in found}
    assert paging == {"RiskmonForecastOverBudget", "RiskmonRiskSpike", "RiskmonObservedBurn"}
    assert all("ticket" in severities[name] for name in paging)


def riskmon_rules(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "riskmon", "rules", "-c", DEFAULTS, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_a_file_that_prometheus_may_read(tmp_path):
    out = tmp_path / "riskmon.yaml"
    done = riskmon_rules("--out", out)
    assert done.returncode == 0, done.stderr
    assert "18 alerts" in done.stdout
    assert "no budget_daily: insult" in done.stdout
    assert out.read_bytes() == DEPLOYED.read_bytes()
    assert out.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["riskmon.yaml"]
    assert riskmon_rules().stdout == DEPLOYED.read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written_is_said_so(tmp_path):
    done = riskmon_rules("--out", tmp_path / "missing" / "riskmon.yaml")
    assert done.returncode == 2
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


# ---- when they fire


@pytest.mark.parametrize("case", CASES, ids=[case.stem for case in CASES])
def test_alerts_fire_when_they_should(case, tmp_path):
    content = yaml.safe_load(DEPLOYED.read_text(encoding="utf-8"))
    for group in content["groups"]:
        for rule in group["rules"]:
            rule.pop("annotations", None)  # a test of their own has the texts
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(content))
    shutil.copy(case, tmp_path)
    assert "SUCCESS" in promtool("test", "rules", tmp_path / case.name)


def test_every_alert_is_seen_to_fire_and_not_to_fire():
    tests = [test for case in CASES for test in yaml.safe_load(case.read_text(encoding="utf-8"))["tests"]]
    checks = list(itertools.chain.from_iterable(test["alert_rule_test"] for test in tests))
    silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
    fired = {
        (check["alertname"], *sorted(one["exp_labels"].items()))
        for check in checks
        for one in check["exp_alerts"]
    }
    for one in alerts(configured()):
        wanted = {"severity": one.severity, **one.labels}.items()
        assert any(name == one.name and wanted <= set(labels) for name, *labels in fired), one
        assert one.name in silent


def test_descriptions_tell_the_numbers(tmp_path):
    target = 'job="riskmon",instance="a:9108",harm="misuse"'
    series = {
        "riskmon_forecast_total_daily_harmful_outputs": "27.4",
        "riskmon_forecast_total_daily_harmful_outputs_lower": "14",
        "riskmon_forecast_total_daily_harmful_outputs_upper": "46",
        "riskmon_forecast_total_daily_over_budget_probability": "0.7",
        "riskmon_risk_budget_daily_harmful_outputs": "10",
    }
    description = (
        "misuse: 27.4 harmful outputs are expected in the next 24 hours (90% interval 14 to 46), 2.74 times the "
        "budget; the probability of exceeding it is 70%. On a:9108."
    )
    expected = {
        "exp_labels": {"severity": "ticket", "job": "riskmon", "instance": "a:9108", "harm": "misuse"},
        "exp_annotations": {
            "summary": "More harmful outputs are expected in the next 24 hours than the budget allows.",
            "description": description,
            "runbook_url": "docs/runbooks/RiskmonForecastOverBudget.md",
        },
    }
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f"{name}{{{target}}}", "values": f"{v}+0x60"} for name, v in series.items()
        ],
        "alert_rule_test": [
            {"eval_time": "20m", "alertname": "RiskmonForecastOverBudget", "exp_alerts": [expected]}
        ],
    }
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(DEPLOYED)], "tests": [test]}))
    promtool("test", "rules", path)


# ---- what follows from the configuration


def test_spans_follow_from_the_schedules():
    rules = rendered(
        estimate={"schedule": "0 6 * * mon-fri", "deadline": "2h"}, forecast={"schedule": "*/20 * * * *"}
    )
    late = alert("RiskmonEstimateStale", rules, reason="late")
    # From Friday to Monday it is three days: twice that, and the two hours that a cycle may take.
    assert f"> {(2 * 72 + 2) * 3600}" in late["expr"]
    assert alert("RiskmonEstimateStale", rules, reason="never")["for"] == "6d2h"
    assert alert("RiskmonForecastOverBudget", rules, severity="page")["for"] == "1h"
    assert f"> {3 * 20 * 60}" in alert("RiskmonForecastStale", rules)["expr"]
    assert "[3d2h]" in alert("RiskmonJudgeFailing", rules)["expr"]
    burns = [rule for rule in rules if rule.get("alert") == "RiskmonObservedBurn"]
    # No window is shorter than the time that holds a whole cycle.
    assert {rule["labels"]["window"] for rule in burns} == {"3d2h"}


def test_frequent_jobs_are_jobs_of_the_daemon():
    from riskmon.daemon.timetable import JOBS

    frequent = alert("RiskmonJobFailing", rendered())["expr"].split('task=~"')[1].split('"')[0].split("|")
    assert set(frequent) < set(JOBS)
    assert {"forecast", "estimate", "purge"} < set(frequent)


def test_thresholds_labels_and_addresses_are_those_configured():
    rules = rendered(
        rules={
            "job": "risk",
            "sustained": "90s",
            "spike_factor": 3.5,
            "page_severity": "critical",
            "ticket_severity": "warning",
            "labels": ["team=safety"],
            "runbook_base_url": "https://wiki.example.org/riskmon/",
            "burn_windows": [["1h", "2d", 4, "page"]],
        },
    )
    page = alert("RiskmonRiskSpike", rules, severity="critical")
    assert page["for"] == "1m30s"
    assert page["labels"] == {"team": "safety", "severity": "critical"}
    assert "> 3.5" in page["expr"]
    assert page["annotations"]["runbook_url"] == "https://wiki.example.org/riskmon/RiskmonRiskSpike.md"
    assert alert("RiskmonObservedBurn", rules)["labels"]["window"] == "2d"
    assert all("riskmon_" not in rule["expr"] or 'job="risk"' in rule["expr"] for rule in rules)


def test_the_file_says_which_harms_have_no_budget():
    judge = {"kind": "regex", "pattern": "x"}
    harms = [{"name": "misuse", "judge": judge, "budget_daily": 10}, {"name": "insult", "judge": judge}]
    data = {"model": {"target": "org/model"}, "harms": harms}
    assert "# No budget_daily: insult." in render_rules(parse_config(data, base=Path("/nowhere")))
    del harms[1]
    assert "No budget_daily" not in render_rules(parse_config(data, base=Path("/nowhere")))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"page_probability": 0.4}, "ticket_probability"),
        ({"page_severity": "ticket"}, "must differ"),
        ({"burn_windows": [["2h", "1h", 3, "page"]]}, "short window comes first"),
        ({"labels": ["team"]}, "labels"),
    ],
)
def test_what_cannot_be_meant_is_refused(rules, words):
    from riskmon.errors import ConfigError

    with pytest.raises(ConfigError, match=words):
        configured(rules=rules)
