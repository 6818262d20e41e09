"""Log lines: one JSON object each, with fields to search by; a level that can be changed while running."""

import json
import logging
import subprocess
import sys
import warnings

import pytest

from riskmon import logs
from riskmon.config import LoggingConfig
from riskmon.scheduler import Scheduler


@pytest.fixture(autouse=True)
def untouched_root():
    """The handlers and levels of the test run, back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("riskmon")
    before = (root.handlers[:], root.level, ours.level)
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    ours.setLevel(own)
    logging.captureWarnings(False)


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_json_line_has_its_facts_as_keys(capsys):
    logs.configure(LoggingConfig(format="json"))
    failures = []
    scheduler = Scheduler(failures.append, lambda fault: None)
    scheduler._guarded("forecast", lambda: 1 / 0)
    (line,) = lines(capsys)
    assert line["job"] == failures[0] == "forecast"
    assert (line["level"], line["logger"], line["process"]) == ("ERROR", "riskmon.scheduler", "MainProcess")
    assert line["message"].startswith("forecast failed: builtins.ZeroDivisionError\n")
    assert line["timestamp"].endswith("+00:00")


def test_a_json_line_of_a_role_names_it_and_others_name_none(capsys):
    for role in (None, "intake"):
        logs.speak_as(role)
        logs.configure(LoggingConfig(format="json"))
        logging.getLogger("riskmon").warning("x")
    logs.speak_as(None)
    assert [line.get("role") for line in lines(capsys)] == [None, "intake"]


def test_what_libraries_warn_of_is_json_as_well(capsys):
    logs.configure(LoggingConfig(format="json"))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("a library's words", stacklevel=1)
    (line,) = lines(capsys)
    assert line["logger"] == "py.warnings"
    assert "a library's words" in line["message"]


def test_the_level_changes_while_running_and_debug_is_our_own(capsys):
    ours, theirs = logging.getLogger("riskmon.jobs"), logging.getLogger("some.library")

    def heard(level):
        logs.configure(LoggingConfig(format="json", level=level))
        for logger in (ours, theirs):
            for severity in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
                logger.log(severity, "words")
        return [(line["logger"], line["level"]) for line in lines(capsys)]

    own = [("riskmon.jobs", level) for level in ("DEBUG", "INFO", "WARNING", "ERROR")]
    other = [("some.library", level) for level in ("INFO", "WARNING", "ERROR")]
    assert heard("debug") == own + other
    assert heard("info") == own[1:] + other
    assert heard("warning") == own[2:] + other[1:]
    assert heard("error") == own[3:] + other[2:]
    assert heard("debug") == own + other


@pytest.mark.parametrize("style", ["json", "console"])
def test_the_fault_that_ends_riskmon_is_a_line_of_the_log(style, tmp_path):
    (tmp_path / "riskmon.yaml").write_text(
        "model: {target: org/model}\n"
        "judge: {kind: regex, pattern: x}\n"
        "traffic: {jsonl: traffic.jsonl}\n"
        "store: {url: 'sqlite:///missing/risk.db'}\n"
        f"logging: {{format: {style}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "riskmon", "forecast", "-c", str(tmp_path / "riskmon.yaml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    if style == "console":
        assert line.startswith("riskmon: cannot create the database file")
    else:
        entry = json.loads(line)
        assert entry["level"] == "CRITICAL"
        assert entry["message"].startswith("cannot create the database file")
