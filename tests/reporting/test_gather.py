"""What a report holds, from a real store: a week with a gap and a lost cycle, and a store with nothing in it."""

from datetime import timedelta

import pytest
from support.reporting_fixtures import NOW, SECRET, settings
from support.reports import BACKTEST, CHANGE, FULL_REPORT
from support.store_records import CHAT, CODE, HOUR, NOON, counted

from riskmon.config_file import parse_config
from riskmon.errors import ConfigError
from riskmon.publish.reports import render_html, render_json, render_mail, render_markdown, render_text
from riskmon.records import IntakeBatch, Stratum
from riskmon.records.report import BudgetVerdict, IncidentKind, ReportCause, Trust
from riskmon.records.strata import StratumChange, StratumEvent
from riskmon.reporting.gather import gather
from riskmon.reporting.harms import Measured

RENDERERS = (render_html, render_markdown, render_json, render_text, render_mail)


def test_an_empty_store_has_a_report_that_says_so(store, config):
    report = gather(store, config, NOW)
    (harm,) = report.harms
    assert (report.trust, harm.verdict, harm.total) == (Trust.DOUBT, BudgetVerdict.UNKNOWN, None)
    assert "There is no forecast yet." in [finding.text for finding in report.findings]
    assert report.incidents == ()
    assert "There is no forecast yet" in render_text(report)
    for render in RENDERERS:
        assert render(report)


def test_a_week_is_gathered(week, config):
    report = gather(week, config, NOW, cause=ReportCause.SCHEDULE)
    (harm,) = report.harms
    assert harm.total is not None
    assert (harm.total.expected, harm.verdict) == (12.0, BudgetVerdict.OVER)
    assert [forecast.expected for forecast in harm.outlook] == [12.0, 50.0]
    assert [forecast.stratum for forecast in harm.strata] == [CHAT, CODE]
    assert harm.previous is not None
    assert NOW - harm.previous.made_at == timedelta(days=7, minutes=5)
    assert harm.ratio == 3.0
    assert all(report.since <= forecast.made_at <= NOW for forecast in harm.history)
    assert len(harm.history) == 7 * 24
    assert report.cause is ReportCause.SCHEDULE
    assert report.name == "report-20260314T123000Z"
    assert len(report.versions.plans) == 1


def test_traffic_is_counted_over_the_period(week, config):
    traffic = gather(week, config, NOW).traffic
    assert traffic.requests == (7 * 24 - 5) * 110
    assert traffic.previous_requests is None  # the store reaches back one day further, and not a week
    assert traffic.tally.sampled == 2 * (7 * 24 - 5)
    assert traffic.tally.estimated + traffic.tally.waiting == traffic.tally.sampled
    assert 0 < traffic.tally.estimated < traffic.tally.sampled
    shorter = gather(week, config, NOW, period=timedelta(days=3)).traffic
    assert shorter.previous_requests == 3 * 24 * 110


def test_incidents_are_found(week, config):
    incidents = gather(week, config, NOW).incidents
    assert [incident.kind for incident in incidents] == [
        IncidentKind.NO_COUNTS,
        IncidentKind.CYCLE_LOST,
        IncidentKind.CYCLE_CUT_SHORT,
    ]
    gap = incidents[0]
    assert gap.end is not None
    assert gap.end - gap.start == 5 * HOUR


def test_contributions_are_shares_of_the_harm(week, config):
    (harm,) = gather(week, config, NOW).harms
    assert len(harm.contributors) == 20
    assert [row.share for row in harm.contributors] == sorted(
        (row.share for row in harm.contributors), reverse=True
    )
    assert harm.contributors[0].stratum == CODE
    assert harm.contributors[0].contribution == pytest.approx(10 * 0.02)
    assert sum(row.share for row in harm.contributors) < 1
    assert {row.excerpt for row in harm.contributors} == {None}
    assert harm.doubtful_share == 0


def test_the_map_has_a_day_per_column(week, config):
    heat = gather(week, config, NOW).harms[0].heat
    assert [row.stratum for row in heat.rows] == [CHAT, CODE]
    assert heat.days == (NOON.date() - timedelta(days=1), NOON.date())
    assert heat.rows[1].values == (pytest.approx(0.02), pytest.approx(0.02))


def test_what_other_jobs_found_is_shown(week, config):
    measured = Measured([BACKTEST], {"misuse": CHANGE}, FULL_REPORT.sensitivity)
    report = gather(week, config, NOW, measured=measured)
    assert (report.harms[0].backtest, report.harms[0].change) == (BACKTEST, CHANGE)
    assert report.sensitivity is FULL_REPORT.sensitivity
    assert "mostly model" in render_text(report)


def test_without_them_it_says_none_yet(week, config):
    page = render_html(gather(week, config, NOW))
    assert "has not been split into volume, mix and model yet" in page
    assert "No past forecast has been held against" in page
    assert "has not been measured yet" in page


# ---- excerpts


def test_excerpts_are_shown_only_when_switched_on_and_are_masked(week, tmp_path):
    on = parse_config(settings(report={"excerpt_characters": 30, "top_prompts": 5}), base=tmp_path)
    report = gather(week, on, NOW)
    (harm,) = report.harms
    assert len(harm.contributors) == 5
    assert {row.excerpt for row in harm.contributors} == {"call #### ##### or [e-mail]"}
    assert "call #### #####" in render_html(report)
    assert "text of production" in render_html(report)
    assert "example.org" not in "".join(render(report) for render in RENDERERS)
    assert "call" not in repr(report)


def test_without_excerpts_no_format_holds_any_text(week, config):
    report = gather(week, config, NOW)
    assert not [
        render for render in RENDERERS if "call 0151" in render(report) or "example.org" in render(report)
    ]


# ---- secrets


def test_no_format_holds_a_secret_or_a_rule(week, tmp_path):
    config = parse_config(
        settings(
            store={"url": f"postgresql+psycopg://riskmon:{SECRET}@db/risk?password={SECRET}"},
            report={
                "webhook": {"url": f"http://h.example/{SECRET}", "secret": SECRET},
                "smtp": {
                    "host": "h.example",
                    "username": "u",
                    "password": SECRET,
                    "sender": "a@h.example",
                    "recipients": ["b@h.example"],
                },
                "prometheus": f"http://u:{SECRET}@127.0.0.1:9",
            },
        ),
        base=tmp_path,
    )
    report = gather(week, config, NOW)
    assert report.alerts.error == "Prometheus could not be reached (ConnectError)"
    for text in (repr(report), *(render(report) for render in RENDERERS)):
        assert SECRET not in text
        assert "badword" not in text
        assert "You are rude" not in text
        assert str(tmp_path) not in text


def test_a_configuration_without_traffic_is_the_users_to_fix(store, tmp_path):
    config = parse_config({k: v for k, v in settings().items() if k != "traffic"}, base=tmp_path)
    with pytest.raises(ConfigError, match="needs the section 'traffic'"):
        gather(store, config, NOW)


def test_counts_that_are_estimates_are_said_to_be_with_their_error(store, config):
    sentence = "counted from random ranges of the topic"
    rows = ((CHAT, 90_000, 900.0**2), (CODE, 1_000, 200.0**2))
    exact, estimated = (
        IntakeBatch(
            consumed=91_000,
            requests={(NOON, stratum): requests for stratum, requests, _ in rows},
            next_offsets={("prompts", 0): end},
            variances={(NOON, stratum): variance for stratum, _, variance in rows} if end > 91_000 else {},
        )
        for end in (91_000, 182_000)
    )
    store.write_intake(exact, keep=5, now=NOW)
    assert not any(sentence in said for said in gather(store, config, NOW).limitations)
    store.write_intake(estimated, keep=5, now=NOW)
    (said,) = (said for said in gather(store, config, NOW).limitations if sentence in said)
    assert (
        "standard error is 10% of the requests for route=code, which is known worst (95% limits 1,6" in said
    )
    assert "at most 5.25% for half of the strata" in said


def test_strata_that_came_and_went_are_among_the_incidents(week, config):
    new = Stratum((("route", "new"),))
    start = NOW.replace(minute=0) - 5 * HOUR
    week.write_intake(counted(90, end=10**6, window=start, stratum=new), keep=9, now=start + HOUR)
    gone = StratumEvent(NOW - HOUR, StratumChange.VANISHED, CODE, NOW.replace(minute=0) + HOUR, 0.09)
    assert week.note_vanished([gone]) == [gone]
    told = {i.kind: i for i in gather(week, config, NOW).incidents}
    assert told[IncidentKind.STRATUM_APPEARED].detail.startswith("route=new: 0.499%")
    assert told[IncidentKind.STRATUM_VANISHED].detail == "route=code: it had 9% of the requests"
