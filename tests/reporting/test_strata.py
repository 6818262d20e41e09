"""Strata that came and went, as a report tells of them."""

from dataclasses import replace
from datetime import timedelta

from support.reports import FULL_REPORT
from support.snapshots import NOW

from riskmon.publish.reports.html import render_html
from riskmon.publish.reports.json_document import render_json
from riskmon.publish.reports.markdown import render_markdown
from riskmon.records import Stratum, VolumeWindow
from riskmon.records.report import Incident, IncidentKind
from riskmon.records.strata import StratumChange, StratumEvent
from riskmon.reporting.strata import strata_incidents

HOUR = timedelta(hours=1)
SINCE = NOW - 48 * HOUR


def route(name):
    return Stratum((("route", name),))


def event(hours, change, name, **known):
    return StratumEvent(NOW - hours * HOUR, change, route(name), **known)


WINDOWS = [
    VolumeWindow(SINCE - HOUR, route("old"), 10**6),
    VolumeWindow(SINCE, route("old"), 750),
    VolumeWindow(SINCE + HOUR, route("new"), 250),
]


def test_what_appeared_is_told_with_its_share_since_the_period_began():
    [found] = strata_incidents([event(47, StratumChange.APPEARED, "new")], WINDOWS, SINCE)
    assert found == Incident(
        IncidentKind.STRATUM_APPEARED,
        NOW - 47 * HOUR,
        NOW - 47 * HOUR,
        "route=new: 25% of the requests of the period",
    )


def test_what_vanished_lasts_until_it_is_back():
    gone = event(9, StratumChange.VANISHED, "old", since=NOW - 45 * HOUR, share=0.125)
    [found] = strata_incidents([gone], WINDOWS, SINCE)
    assert found == Incident(
        IncidentKind.STRATUM_VANISHED, NOW - 45 * HOUR, None, "route=old: it had 12.5% of the requests"
    )
    others = event(5, StratumChange.REAPPEARED, "new")
    back = event(3, StratumChange.REAPPEARED, "old")
    [found] = strata_incidents([gone, others, back], WINDOWS, SINCE)
    assert found.end == NOW - 3 * HOUR


def test_of_many_new_ones_the_largest_are_named():
    events = [event(40 - i / 10, StratumChange.APPEARED, f"r{i}") for i in range(30)]
    windows = [VolumeWindow(SINCE, route(f"r{i}"), i + 1) for i in range(30)]
    *named, rest = strata_incidents(events, windows, SINCE)
    assert len(named) == 20
    assert named[0].detail.startswith("route=r29: ")
    assert rest == Incident(
        IncidentKind.STRATUM_APPEARED,
        NOW - 40 * HOUR,
        NOW - 39.1 * HOUR,
        "10 more, with 11.8% of the requests of the period together",
    )


def test_a_limit_says_which_settings_it_is_and_every_format_shows_it():
    capped = event(2, StratumChange.CAPPED, "other")
    gone = event(9, StratumChange.VANISHED, "<b>|old", since=NOW - 45 * HOUR, share=0.125)
    incidents = tuple(strata_incidents([gone, capped], WINDOWS, SINCE))
    report = replace(FULL_REPORT, incidents=incidents)
    for text in (render_html(report), render_markdown(report), render_json(report)):
        assert "limit of strata reached" in text
        assert "is counted in route=other" in text
        assert "stratum vanished" in text
    assert "<b>|old" not in render_html(report)
    assert "<b>|old" not in render_markdown(report)
