"""When the daemon's report is due, and what becomes of it: by schedule, after downtime, after a release."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from support.http_sink import sink
from support.reporting_fixtures import NOW, settings
from support.store_records import HOUR, forecast, summary

from riskmon.config_file import parse_config
from riskmon.errors import DeliveryFailed
from riskmon.records.report import ReportCause
from riskmon.reporting.folder import LastReport, recall, remember
from riskmon.reporting.reporter import Reporter

STARTED = NOW - 6 * HOUR
CYCLE = replace(summary(NOW - HOUR), started_at=NOW - 2 * HOUR)
FORECAST_AT = NOW - timedelta(minutes=5)


class Started:
    """A reporter that has read its versions, and what it counted."""

    def __init__(self, store, tmp_path, model=None, stop=lambda: False, **report):
        sections = {"report": {"folder": "reports", **report}}
        if model is not None:
            sections["model"] = {"target": model}
        self.failures = Counter()
        config = parse_config(settings(**sections), base=tmp_path)
        self.reporter = Reporter(store, config, lambda name: self.failures.update([name]), stop, STARTED)
        self.reporter.start()
        assert self.reporter._read.wait(60)
        self.folder = tmp_path / "reports"

    def due(self, now=NOW, cycle=CYCLE, forecast_at=FORECAST_AT):
        return self.reporter.due(now, cycle, forecast_at)


def documents(folder):
    return [
        json.loads(file.read_text())
        for file in sorted(folder.glob("report-*.json"))
        if not file.name.startswith(".")
    ]


def complete_a_cycle(store):
    store.finish_cycle(store.begin_cycle(CYCLE.started_at), CYCLE)
    store.write_forecasts([forecast(FORECAST_AT, None, 12.0)])


def test_the_first_complete_cycle_is_a_release_and_only_once(store, tmp_path):
    started = Started(store, tmp_path)
    assert started.due(cycle=None, forecast_at=None) is None
    assert started.due(cycle=replace(CYCLE, started_at=STARTED - HOUR)) is None  # of the process before
    assert started.due(forecast_at=CYCLE.finished_at - HOUR) is None  # not forecast from yet
    assert started.due() is ReportCause.RELEASE
    complete_a_cycle(store)
    started.reporter.write(NOW)
    (document,) = documents(started.folder)
    assert document["cause"] == "release"
    assert started.due(now=NOW + HOUR) is None
    assert Started(store, tmp_path).due(now=NOW + HOUR) is None  # a restart is no release


def test_another_target_is_a_release(store, tmp_path):
    complete_a_cycle(store)
    Started(store, tmp_path).reporter.write(NOW)
    other = Started(store, tmp_path, model="example/next")
    assert other.due(now=NOW + HOUR) is ReportCause.RELEASE
    other.reporter.write(NOW + HOUR)
    assert [document["versions"]["target"] for document in documents(other.folder)] == [
        "example/model",
        "example/next",
    ]


def test_a_scheduled_report_before_the_first_cycle_leaves_the_release_open(store, tmp_path):
    started = Started(store, tmp_path)
    started.reporter.write(NOW - 3 * HOUR)
    complete_a_cycle(store)
    assert started.due() is ReportCause.RELEASE
    started.reporter.write(NOW)
    assert [document["cause"] for document in documents(started.folder)] == ["schedule", "release"]


def test_releases_are_not_heeded_where_they_are_switched_off(store, tmp_path):
    assert Started(store, tmp_path, on_release=False).due() is None


@pytest.mark.parametrize(("days", "due"), [(3, None), (8, ReportCause.SCHEDULE)])
def test_a_run_missed_while_nothing_ran_is_caught_up(store, tmp_path, days, due):
    fingerprint = Started(store, tmp_path).reporter._versions.fingerprint
    (tmp_path / "reports").mkdir()
    remember(tmp_path / "reports", LastReport(NOW - timedelta(days=days), fingerprint))
    assert Started(store, tmp_path).due() is due


def test_the_clocks_own_run_is_not_doubled(store, tmp_path):
    fingerprint = Started(store, tmp_path).reporter._versions.fingerprint
    (tmp_path / "reports").mkdir()
    monday = NOW.replace(day=16, hour=6, minute=0)
    remember(tmp_path / "reports", LastReport(monday - timedelta(days=7, seconds=-1), fingerprint))
    started = Started(store, tmp_path)
    assert started.due(now=monday + timedelta(seconds=30)) is None
    assert started.due(now=monday + timedelta(minutes=3)) is ReportCause.SCHEDULE


def test_what_reached_nobody_fails_and_is_tried_again_later(store, tmp_path):
    complete_a_cycle(store)
    started = Started(store, tmp_path)
    (tmp_path / "reports").write_text("in the way")
    with pytest.raises(DeliveryFailed, match="report-20260314T123000Z reached no place"):
        started.reporter.write(NOW)
    assert started.failures == {"report-folder": 1}
    assert started.due(now=NOW + timedelta(minutes=4)) is None
    assert started.due(now=NOW + timedelta(minutes=6)) is ReportCause.RELEASE


def test_one_failure_is_counted_and_the_rest_is_delivered(store, tmp_path):
    complete_a_cycle(store)
    started = Started(store, tmp_path, webhook={"url": "http://127.0.0.1:9/x", "retries": 0})
    started.reporter.write(NOW)
    assert started.failures == {"report-webhook": 1}
    assert len(documents(started.folder)) == 1
    assert recall(started.folder).made_at == NOW


def test_without_any_place_there_is_nothing_to_do(store, tmp_path):
    def wanted(**sections):
        config = parse_config(settings(**sections), base=tmp_path)
        return Reporter(store, config, lambda _: None, lambda: False, STARTED).wanted

    assert not wanted()
    assert wanted(publish={"reports": "reports"})
    assert wanted(report={"webhook": {"url": "http://host/x"}})
    assert not wanted(report={"webhook": {"url": "http://host/x"}, "schedule": None})
    assert wanted(report={"folder": "reports", "schedule": None})
    assert not wanted(report={"folder": "reports", "schedule": None, "on_release": False})


def test_without_a_folder_no_restart_passes_for_a_release(store, tmp_path):
    with sink() as seen:
        started = Started(store, tmp_path, folder=None, webhook={"url": seen.url})
        assert started.due() is None
        started.reporter.write(NOW)
    assert seen.requests[0][2]["cause"] == "schedule"


def test_a_target_that_cannot_be_read_is_said_so(store, tmp_path, caplog):
    (tmp_path / "model" / "model.safetensors").mkdir(parents=True)  # a folder where a file belongs
    started = Started(store, tmp_path, model="model")
    with pytest.raises(DeliveryFailed, match="files of the target"):
        started.reporter.write(NOW)
    assert "fingerprints could not be read" in caplog.text


def test_a_daemon_that_ends_is_not_held_up(store, tmp_path):
    config = parse_config(settings(report={"folder": "reports"}), base=tmp_path)
    reporter = Reporter(store, config, lambda _: None, lambda: True, STARTED)
    reporter.write(NOW)  # versions were never read: it does not wait for them
    assert not (tmp_path / "reports").exists()
