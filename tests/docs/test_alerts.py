"""The pages on alerts: a runbook for each, and snippets that Prometheus accepts."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.prometheus import installed

from riskmon.publish.rules import index

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
ALERTS = ROOT / "docs" / "alerts.md"
RUNBOOKS = ROOT / "docs" / "runbooks"
RULES = ROOT / "deploy" / "rules" / "riskmon.yaml"

RULE_LIST = [
    rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
NAMES = sorted({rule["alert"] for rule in RULE_LIST if "alert" in rule})


def test_promtool_accepts_the_scrape_configuration(tmp_path):
    blocks = re.findall(r"```yaml\n(.*?)```", OPERATIONS.read_text(encoding="utf-8"), flags=re.S)
    (block,) = [block for block in blocks if block.startswith("scrape_configs:")]
    path = tmp_path / "prometheus.yml"
    path.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [installed("promtool"), "check", "config", path], capture_output=True, text=True, check=False
    )
    assert "SUCCESS" in done.stdout, done.stdout + done.stderr


def test_the_index_of_runbooks_is_up_to_date():
    command = "python -m riskmon.publish.rules.index > docs/runbooks/README.md"
    assert (RUNBOOKS / "README.md").read_text(encoding="utf-8") == index.render(), f"run: {command}"


def test_there_is_a_runbook_for_every_alert_and_no_other():
    assert sorted(path.stem for path in RUNBOOKS.glob("*.md") if path.stem != "README") == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_says_what_to_do_on_one_screen(name):
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    assert headings == [name, "Symptom", "Meaning", "Checks", "Actions", "Whom to wake"]
    assert 20 < len(text.splitlines()) < 60


def test_every_alert_is_placed_among_the_questions():
    text = ALERTS.read_text(encoding="utf-8")
    assert [name for name in NAMES if f"(runbooks/{name}.md)" not in text] == []


def test_every_alert_that_a_page_names_exists():
    for page in (*RUNBOOKS.glob("*.md"), ALERTS, OPERATIONS):
        named = set(re.findall(r"\bRiskmon[A-Z]\w+", page.read_text(encoding="utf-8")))
        assert named <= set(NAMES), page.name


def test_every_recorded_series_that_a_page_names_exists():
    recorded = {rule["record"] for rule in RULE_LIST if "record" in rule}
    pages = [page.read_text(encoding="utf-8") for page in (*RUNBOOKS.glob("*.md"), ALERTS)]
    named = {name for text in pages for name in re.findall(r"\b\w+:riskmon_\w+:\w+", text)}
    assert len(named) >= 3
    assert named <= recorded


def test_the_rules_indented_are_the_spec_of_a_prometheus_rule():
    """As docs/alerts.md makes one: text of several lines must survive the indentation."""
    block = next(
        b
        for b in re.findall(r"```sh\n(.*?)```", ALERTS.read_text(encoding="utf-8"), flags=re.S)
        if "Rule" in b
    )
    script = block.replace("riskmon rules -c riskmon.yaml", f"cat {RULES}").replace(
        "| kubectl apply -f -", ""
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    made = yaml.safe_load(done.stdout)
    assert made["kind"] == "PrometheusRule"
    assert made["spec"] == yaml.safe_load(RULES.read_text(encoding="utf-8"))
