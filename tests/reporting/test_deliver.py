"""Files written whole, all places side by side, and no failure that stops another."""

import os
import stat
import threading

import pytest
from support.http_sink import sink
from support.reporting_fixtures import settings
from support.reports import FULL_REPORT
from support.smtp import HOST, mail_server
from support.snapshots import NOW

from riskmon.config_file import parse_config
from riskmon.errors import DeliveryFailed
from riskmon.publish.report_files import ReportFolder
from riskmon.reporting import webhook
from riskmon.reporting.deliver import FOLDER, MAIL, WEBHOOK, deliver
from riskmon.reporting.folder import LastReport, recall, remember, write_files
from riskmon.reporting.rendered import render

NAME = "report-20260309T140721Z"


@pytest.fixture
def rendered(tmp_path):
    return render(FULL_REPORT, parse_config(settings(), base=tmp_path), ("html", "md", "json"))


def everywhere(tmp_path, url="http://127.0.0.1:9/hook", port=9):
    report = {
        "webhook": {"url": url, "retries": 0},
        "smtp": {
            "host": HOST,
            "port": port,
            "security": "none",
            "sender": "a@example.org",
            "recipients": ["b@example.org"],
        },
    }
    return parse_config(settings(report=report), base=tmp_path).report


# ---- the folder


def test_files_are_as_the_page_lists_them(rendered, tmp_path):
    folder = tmp_path / "new" / "reports"
    remember_before = os.umask(0o000)
    try:
        written = write_files(folder, rendered)
    finally:
        os.umask(remember_before)
    assert [path.name for path in written] == [f"{NAME}.{kind}" for kind in ("html", "md", "json")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o640}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    remember(folder, LastReport(NOW, "f00"))
    (listed,) = ReportFolder(folder).newest()
    assert (listed.title, listed.made_at) == (NAME, NOW)
    assert listed.names == (f"{NAME}.html", f"{NAME}.json", f"{NAME}.md")
    assert (folder / f"{NAME}.html").read_text(encoding="utf-8") == rendered.files["html"]


def test_nothing_half_written_is_left_behind(rendered, tmp_path):
    (tmp_path / f"{NAME}.md").mkdir()  # in the way of the second file
    with pytest.raises(DeliveryFailed, match=f"cannot write reports to {tmp_path}"):
        write_files(tmp_path, rendered)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{NAME}.html", f"{NAME}.md"]


def test_what_a_restart_must_know_is_kept(tmp_path):
    assert recall(tmp_path) is None
    remember(tmp_path, LastReport(NOW, "f00"))
    assert recall(tmp_path) == LastReport(NOW, "f00")
    (file,) = tmp_path.iterdir()
    for broken in (
        "",
        "[]",
        "{}",
        '{"made_at": "x", "fingerprint": "y"}',
        '{"made_at": "2026-01-01", "fingerprint": "y"}',
    ):
        file.write_text(broken)
        assert recall(tmp_path) is None


# ---- all places


def test_all_places_get_it(rendered, tmp_path):
    with sink() as seen, mail_server(tmp_path) as server:
        outcome = deliver(rendered, everywhere(tmp_path, seen.url, server.port), tmp_path / "r", NOW)
    assert outcome.done == (FOLDER, WEBHOOK, MAIL)
    assert (outcome.failed, outcome.abandoned) == ({}, False)
    assert len(seen.requests) == len(server.taken) == 1


def test_what_fails_stops_none_of_the_others(rendered, tmp_path):
    with mail_server(tmp_path) as server:
        outcome = deliver(rendered, everywhere(tmp_path, port=server.port), tmp_path / "r", NOW)
    assert outcome.done == (FOLDER, MAIL)
    assert list(outcome.failed) == [WEBHOOK]
    (tmp_path / "file").write_text("")
    with sink() as seen:
        outcome = deliver(rendered, everywhere(tmp_path, seen.url), tmp_path / "file", NOW)
    assert outcome.done == (WEBHOOK,)
    assert sorted(outcome.failed) == [FOLDER, MAIL]


def test_only_the_folder_where_nothing_shall_leave(rendered, tmp_path):
    with sink() as seen:
        outcome = deliver(rendered, everywhere(tmp_path, seen.url), tmp_path / "r", NOW, remote=False)
    assert (outcome.done, seen.requests) == ((FOLDER,), [])


def test_a_caller_that_stops_waits_for_nobody(rendered, tmp_path):
    config = parse_config(settings(report={"webhook": {"url": "http://127.0.0.1:9/x"}}), base=tmp_path).report
    asked = threading.Event()

    def stop():
        asked.set()
        return True

    with sink(delay_s=20) as seen:
        config = everywhere(tmp_path, seen.url).model_copy(update={"smtp": None})
        outcome = deliver(rendered, config, None, NOW, stop)
    assert asked.is_set()
    assert outcome.abandoned
    assert (outcome.done, outcome.failed) == ((), {})


def test_a_fault_of_ours_is_a_failure_like_any_other(rendered, tmp_path, monkeypatch, caplog):
    words = "words of a prompt"

    def broken(*args, **kwargs):
        raise RuntimeError(words)

    monkeypatch.setattr(webhook.httpx, "post", broken)
    outcome = deliver(rendered, everywhere(tmp_path).model_copy(update={"smtp": None}), tmp_path / "r", NOW)
    assert outcome.failed == {WEBHOOK: "report-webhook failed unexpectedly"}
    assert outcome.done == (FOLDER,)
    assert words not in caplog.text
