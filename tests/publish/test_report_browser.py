"""A report in a real browser: no complaint, no request to anywhere, and paper that cuts no table."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.browser import QUIET, asked_for, load
from support.reports import EMPTY_REPORT, FULL_REPORT
from support.snapshots import FACTS, FULL

from riskmon.config.publish import PublishConfig
from riskmon.publish import Server, build_app
from riskmon.publish.reports import render_html


@pytest.fixture
def served(tmp_path):
    """Both reports as the page serves them, with its content security policy."""
    for name, report in (("full", FULL_REPORT), ("empty", EMPTY_REPORT)):
        (tmp_path / f"{name}.html").write_text(render_html(report), encoding="utf-8")
    app = build_app(lambda: FULL, lambda: FACTS, dict, list, PublishConfig(reports=tmp_path))
    with Server(app, "127.0.0.1:0") as server:
        yield server


@pytest.mark.parametrize("name", ["full", "empty"])
def test_it_loads_under_the_pages_policy_without_a_complaint(served, name):
    page = load(f"{served.url}/reports/{name}.html")
    assert page.console == ()
    assert "Sign-off" in page.dom


def test_it_asks_for_nothing(served):
    assert asked_for(f"{served.url}/reports/full.html") == []


def test_it_prints_to_paper(tmp_path: Path):
    source, paper = tmp_path / "full.html", tmp_path / "full.pdf"
    source.write_text(render_html(FULL_REPORT), encoding="utf-8")
    subprocess.run(
        [
            shutil.which("chromium") or "google-chrome",
            *QUIET,
            f"--user-data-dir={tmp_path}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={paper}",
            source.as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    content = paper.read_bytes()
    pages = re.findall(rb"/MediaBox \[0 0 (\d+)\S* (\d+)", content)
    assert set(pages) == {(b"594", b"841")}  # A4 in points, as the style sheet asks
    assert 4 <= len(pages) <= 9
