"""The Prometheus snippets of docs/operations.md: accepted by promtool, and the alerts fire when they should."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"

TARGET = 'job="riskmon",instance="a:9108"'
FORECAST = f'riskmon_forecast_total_daily_harmful_outputs{{{TARGET},harm="misuse"}}'
BUDGET = f'riskmon_risk_budget_daily_harmful_outputs{{{TARGET},harm="misuse"}}'


def snippet(first_key: str) -> str:
    """The YAML block that begins with a key."""
    blocks = re.findall(r"```yaml\n(.*?)```", OPERATIONS.read_text(encoding="utf-8"), flags=re.S)
    (block,) = [block for block in blocks if block.startswith(f"{first_key}:")]
    return block


def promtool(*args: str | Path) -> str:
    binary = shutil.which("promtool")
    if binary is None:
        pytest.fail("promtool is missing: apt-get install -y --no-install-recommends prometheus")
    done = subprocess.run([binary, *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yml"
    path.write_text(snippet("groups"), encoding="utf-8")
    return path


@pytest.fixture
def bare_rules(rules: Path) -> Path:
    """The rules without their texts, for tests of when an alert fires."""
    content = yaml.safe_load(rules.read_text(encoding="utf-8"))
    for rule in content["groups"][0]["rules"]:
        del rule["annotations"]
    rules.write_text(yaml.safe_dump(content), encoding="utf-8")
    return rules


def alerts_at(
    rules: Path, minutes: int, series: dict[str, str], expected: dict[str, list[dict[str, str]]]
) -> None:
    """Let promtool run the rules over series, and compare the alerts that fire at a moment."""
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": f"{minutes}m",
                "alertname": name,
                "exp_alerts": [{"exp_labels": labels} for labels in fired],
            }
            for name, fired in expected.items()
        ],
    }
    path = rules.parent / "test.yml"
    path.write_text(yaml.safe_dump({"rule_files": [rules.name], "tests": [test]}), encoding="utf-8")
    promtool("test", "rules", path)


def test_promtool_accepts_the_scrape_configuration(tmp_path):
    path = tmp_path / "prometheus.yml"
    path.write_text(snippet("scrape_configs"), encoding="utf-8")
    assert "SUCCESS" in promtool("check", "config", path)


def test_promtool_accepts_the_rules(rules):
    assert "SUCCESS: 5 rules found" in promtool("check", "rules", "--lint=all", "--lint-fatal", rules)


def test_every_alert_says_what_it_is_about(rules):
    for rule in yaml.safe_load(rules.read_text(encoding="utf-8"))["groups"][0]["rules"]:
        assert rule["alert"].startswith("Riskmon")
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert "{{" not in rule["annotations"]["summary"]


def test_the_budget_alert_fires_over_the_budget_only(bare_rules):
    over = {"severity": "page", "job": "riskmon", "instance": "a:9108", "harm": "misuse"}
    series = {FORECAST: "27.4+0x60", BUDGET: "10+0x60"}
    alerts_at(bare_rules, 10, series, {"RiskmonForecastOverBudget": []})
    alerts_at(bare_rules, 20, series, {"RiskmonForecastOverBudget": [over]})
    alerts_at(bare_rules, 20, series | {FORECAST: "9.9+0x60"}, {"RiskmonForecastOverBudget": []})
    alerts_at(bare_rules, 20, {FORECAST: "27.4+0x60"}, {"RiskmonForecastOverBudget": []})


def test_the_back_test_alert_fires_when_more_than_a_fifth_of_the_days_came_out_above(bare_rules):
    fired = {"severity": "ticket", "job": "riskmon", "instance": "a:9108", "harm": "misuse"}

    def days(above: int, scored: int, undecided: int) -> dict[str, str]:
        values = {"above": above, "scored": scored, "undecided": undecided}
        return {
            f'riskmon_backtest_{name}_forecasts{{{TARGET},harm="misuse"}}': f"{count}+0x60"
            for name, count in values.items()
        }

    alerts_at(bare_rules, 30, days(7, 24, 6), {"RiskmonForecastsTooLow": [fired]})
    alerts_at(bare_rules, 10, days(7, 24, 6), {"RiskmonForecastsTooLow": []})
    alerts_at(bare_rules, 30, days(6, 24, 6), {"RiskmonForecastsTooLow": []})
    alerts_at(bare_rules, 30, days(1, 1, 0), {"RiskmonForecastsTooLow": []})


def test_the_stale_alert_fires_after_two_missed_runs(bare_rules):
    stamp = f"riskmon_estimate_last_success_timestamp_seconds{{{TARGET}}}"
    fired = {"severity": "ticket", "job": "riskmon", "instance": "a:9108"}
    stuck = {stamp: "0+0x700"}
    alerts_at(bare_rules, 8 * 60, stuck, {"RiskmonEstimateStale": []})
    alerts_at(bare_rules, 9 * 60 + 10, stuck, {"RiskmonEstimateStale": [fired]})
    alerts_at(bare_rules, 9 * 60 + 10, {stamp: "0+60x700"}, {"RiskmonEstimateStale": []})


def test_the_kafka_alert_fires_for_a_dead_source_and_for_a_dead_intake(bare_rules):
    up, checked = f"riskmon_kafka_up{{{TARGET}}}", f"riskmon_kafka_last_check_timestamp_seconds{{{TARGET}}}"
    fired = {"severity": "ticket", "job": "riskmon", "instance": "a:9108"}
    source_down = {up: "0+0x60", checked: "0+60x60"}
    intake_down = {up: "1+0x60", checked: "0+0x60"}
    all_well = {up: "1+0x60", checked: "0+60x60"}
    alerts_at(bare_rules, 8, source_down, {"RiskmonKafkaDown": [fired]})
    alerts_at(bare_rules, 20, intake_down, {"RiskmonKafkaDown": [fired]})
    alerts_at(bare_rules, 20, all_well, {"RiskmonKafkaDown": []})


def test_the_scrape_alert_fires_when_the_target_is_gone(bare_rules):
    down = {"severity": "ticket", "job": "riskmon"}
    alerts_at(bare_rules, 10, {f"up{{{TARGET}}}": "0+0x20"}, {"RiskmonDown": [down | {"instance": "a:9108"}]})
    alerts_at(bare_rules, 10, {'up{job="other"}': "1+0x20"}, {"RiskmonDown": [down]})
    alerts_at(bare_rules, 10, {f"up{{{TARGET}}}": "1+0x20"}, {"RiskmonDown": []})
