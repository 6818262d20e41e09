"""`riskmon report` as a user runs it."""

import json
import re

import pytest
import yaml
from support.daemon import run
from support.http_sink import sink
from support.reporting_fixtures import settings

from riskmon.config_file import parse_config
from riskmon.errors import InputError
from riskmon.reporting.command import parse_formats, parse_period


@pytest.fixture
def file(tmp_path):
    def write(**sections):
        path = tmp_path / "riskmon.yaml"
        path.write_text(yaml.safe_dump(settings(**sections)))
        return str(path)

    return write


def test_an_empty_store_has_a_report_in_every_format(file, tmp_path):
    done = run("report", "-c", file(), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    paths = done.stdout.split()
    assert [path.rpartition(".")[2] for path in paths] == ["html", "md", "json"]
    assert re.fullmatch(rf"{tmp_path}/out/report-\d{{8}}T\d{{6}}Z\.html", paths[0])
    document = json.loads((tmp_path / "out" / paths[2].rpartition("/")[2]).read_text())
    assert (document["trust"], document["cause"]) == ("doubt", "request")


def test_the_period_and_the_formats_can_be_chosen(file, week, tmp_path):
    done = run("report", "-c", file(report={"folder": "reports"}), "--since", "36h", "--format", "json")
    assert done.returncode == 0, done.stderr
    (path,) = done.stdout.split()
    assert path.startswith(f"{tmp_path}/reports/report-")
    document = json.loads((tmp_path / "reports" / path.rpartition("/")[2]).read_text())
    assert document["since"] < document["made_at"]
    assert document["harms"][0]["total"]["expected"] == 12


def test_it_is_sent_only_where_asked_for(file, tmp_path):
    with sink(500) as seen:
        config = file(report={"webhook": {"url": seen.url, "retries": 0}, "folder": "reports"})
        assert run("report", "-c", config).returncode == 0
        assert seen.requests == []
        done = run("report", "-c", config, "--send")
        assert len(seen.requests) == 1
    assert done.returncode == 1
    assert "did not take the report (status 500)" in done.stderr
    assert len(done.stdout.split()) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "there is no folder to write to; give --out DIR"),
        (["--out", "{tmp}/riskmon.yaml"], "cannot write reports to {tmp}/riskmon.yaml: File exists"),
        (["--out", "{tmp}/out", "--send"], "--send needs report.webhook or report.smtp"),
        (["--out", "{tmp}/out", "--since", "week"], "--since 'week': give a number and a unit"),
        (["--out", "{tmp}/out", "--format", "pdf"], "--format 'pdf': give one or more of html, md, json"),
    ],
)
def test_what_the_user_can_fix_exits_with_two_and_a_sentence(file, tmp_path, arguments, words):
    done = run("report", "-c", file(), *(argument.format(tmp=tmp_path) for argument in arguments))
    assert done.returncode == 2, done.stderr
    assert words.format(tmp=tmp_path) in done.stderr
    assert "Traceback" not in done.stderr


def test_formats_and_periods_are_read_as_in_the_configuration():
    assert parse_formats("json, html,json") == ("json", "html")
    assert parse_period("36h").total_seconds() == 36 * 3600
    for text in ("", ",", "html;md"):
        with pytest.raises(InputError):
            parse_formats(text)
    with pytest.raises(InputError):
        parse_period("0d")


def test_the_folder_is_that_of_the_page_where_no_other_is_named(tmp_path):
    assert parse_config(settings(), base=tmp_path).report_folder is None
    assert parse_config(settings(publish={"reports": "a"}), base=tmp_path).report_folder == tmp_path / "a"
    both = settings(publish={"reports": "a"}, report={"folder": "b"})
    assert parse_config(both, base=tmp_path).report_folder == tmp_path / "b"
