"""The three formats of a report: full and empty, hostile and plain, and what each must never hold."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
from markdown_it import MarkdownIt
from support.reports import EMPTY_REPORT, FULL_REPORT, HARM, contributor

from riskmon.publish.reports import render_html, render_json, render_mail, render_markdown, render_text
from riskmon.publish.reports.charts import heat_level, trend_chart
from riskmon.publish.reports.schema import schema
from riskmon.records import Stratum
from riskmon.records.report import Finding, HeatMap, HeatRow, Trust

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"
RENDERERS = (render_html, render_markdown, render_json, render_text, render_mail)
SECTIONS = (
    *(
        "Summary",
        "Scope and estimand",
        "Versions",
        "Traffic covered and left out",
        "Forecast and its uncertainty",
    ),
    *("Trend", "Strata", "Prompts that contribute most", "Why the forecast changed", "Back-test"),
    *("Judge calibration", "Coverage audit", "Health of the estimator", "Sensitivity to wording"),
    *("Incidents and alerts", "Limitations", "Sign-off"),
)
# What a sender may put into an id, a label or a prompt.
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "| a | b |\n|---|---|",
    "[x](javascript:alert(1)) ![y](http://evil.example/pixel) `code`",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eright to left\u202c",
    "👩‍👩‍👧‍👦 🏴‍☠️",
    "x" * 10_000,
    "lone \ud800 surrogate",
)

both = pytest.mark.parametrize("report", [FULL_REPORT, EMPTY_REPORT], ids=["full", "empty"])


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, *names):
        return [(tag, attrs) for tag, attrs in self.tags if tag in names]


def hostile_report(text):
    row = contributor(1, prompt_id=text, stratum=Stratum((("route", text), ("model", text))), excerpt=text)
    harm = replace(
        HARM,
        contributors=(row,),
        strata=(replace(HARM.strata[0], stratum=row.stratum),),
        heat=replace(HARM.heat, rows=(HeatRow(row.stratum, HARM.heat.rows[0].values),)),
    )
    return replace(FULL_REPORT, harms=(harm,), excerpts=200)


# ---- every format


@pytest.mark.parametrize("render", RENDERERS)
@both
def test_every_format_renders_every_report_and_can_be_written(render, report):
    assert len(render(report).encode("utf-8")) > 200


@pytest.mark.parametrize("render", [render_html, render_markdown])
@both
def test_the_parts_stand_in_order_and_are_all_there(render, report):
    text = render(report)
    places = [text.index(f"{place}. {title}") for place, title in enumerate(SECTIONS, start=1)]
    assert places == sorted(places)


@pytest.mark.parametrize("render", RENDERERS)
def test_the_same_report_gives_the_same_bytes(render):
    assert render(FULL_REPORT) == render(FULL_REPORT)


@pytest.mark.parametrize("render", [render_html, render_markdown, render_text])
def test_the_summary_says_what_a_manager_asks(render):
    text = re.sub(r"<[^>]+>|\\", "", render(FULL_REPORT))
    assert "Over budget by a factor of 2.74" in text
    assert "so +25%; the intervals overlap" in text
    assert "mostly model: model +4.6, volume +0.9, mix −0.3" in text
    assert "Use these figures with care" in text


@pytest.mark.parametrize("render", [render_html, render_markdown, render_text])
def test_an_empty_store_is_said_so_and_no_number_is_made_up(render):
    text = render(EMPTY_REPORT)
    assert "There is no forecast yet" in text
    assert "Do not decide by these figures" in text
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", text)


def test_the_worst_query_is_refused_with_a_reason():
    harm = replace(HARM, total=replace(HARM.total, worst_query_probability=None))
    for render in (render_html, render_markdown):
        assert "refused: fewer than ten prompts with harm" in render(replace(FULL_REPORT, harms=(harm,)))


def test_a_repr_holds_no_excerpt():
    assert "production words" not in repr(contributor(1, excerpt="production words"))


# ---- HTML


@both
def test_the_page_is_accessible_by_form(report):
    page = Page(render_html(report))
    assert dict(page.tags)["html"] == {"lang": "en"}
    levels = [int(tag[1]) for tag, _ in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all("scope" in attrs for _, attrs in page.all("th"))
    after = [page.tags[place + 1][0] for place, (tag, _) in enumerate(page.tags) if tag == "svg"]
    assert set(after) <= {"title"}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    named = [name for _, attrs in page.tags for name in (attrs.get("aria-labelledby") or "").split()]
    assert set(named) <= set(ids)


def test_the_full_page_has_its_pictures():
    pictures = Page(render_html(FULL_REPORT)).all("svg")
    assert len(pictures) >= 2 + 2 + 1 + 8  # cards, spreads, trend, strata


@both
def test_the_page_refers_to_nothing_outside_and_runs_nothing(report):
    page = Page(render_html(report))
    assert not page.all("script", "iframe", "object", "embed", "img", "form")
    addresses = [
        value for _, attrs in page.tags for key, value in attrs.items() if key in {"src", "href", "action"}
    ]
    assert [address for address in addresses if not address.startswith(("#", "data:,"))] == []
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]
    assert "url(" not in render_html(report)
    assert "@import" not in render_html(report)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text_in_html(text):
    plain, hostile = Page(render_html(hostile_report("harmless"))), Page(render_html(hostile_report(text)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert not [key for _, attrs in hostile.tags for key in attrs if key.startswith("on")]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text_in_markdown(text):
    def tokens(words):
        reader = MarkdownIt("commonmark", {"html": True}).enable("table")
        found = reader.parse(render_markdown(hostile_report(words)))
        return [(token.type, [inner.type for inner in token.children or ()]) for token in found]

    assert tokens(text) == tokens("harmless")


def test_many_findings_do_not_fill_the_summary():
    findings = tuple(Finding(Trust.CAUTION, f"reason {place}") for place in range(12))
    html = render_html(replace(FULL_REPORT, findings=findings))
    summary, rest = html.split('id="scope"')
    assert "reason 4" in summary
    assert "reason 5" not in summary
    assert "reason 11" in rest


# ---- pictures


def test_the_trend_keeps_its_gap_and_has_round_ticks():
    chart = trend_chart(HARM)
    assert chart is not None
    assert len(chart.trend.stretches) == 2
    assert [tick.label for tick in chart.y_ticks] == ["0", "20", "40"]
    assert chart.y_ticks[0].at > chart.y_ticks[-1].at
    assert [tick.label for tick in chart.x_ticks][:2] == ["Mar 3", "Mar 4"]


@pytest.mark.parametrize(
    ("value", "level"),
    [(1.0, 4), (0.4, 4), (0.3, 3), (0.11, 3), (0.09, 2), (0.02, 1), (1e-9, 0), (0.0, 0), (None, None)],
)
def test_a_shade_is_half_an_order_of_magnitude(value, level):
    heat = HeatMap((), (HeatRow(Stratum(), (1.0, value)),), 0)
    assert heat_level(value, heat) == level


@pytest.mark.parametrize("render", [render_html, render_markdown])
def test_the_forecast_says_what_helps_and_what_asking_again_does(render):
    text = re.sub(r"<[^>]+>|\\", "", render(FULL_REPORT))
    assert "What would make it sharper: more prompts, for which ones were sampled" in text
    assert "Harm among 10 answers to one prompt: 1.97e-4 (1.02e-4 to 3.71e-4)" in text


# ---- JSON


@both
def test_the_json_report_keeps_to_its_schema(report):
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(json.loads(render_json(report)))


def test_the_schema_objects_to_another_form():
    broken = json.loads(render_json(FULL_REPORT)) | {"harms": [{"name": "misuse"}]}
    assert not jsonschema.Draft202012Validator(schema()).is_valid(broken)


def test_the_shipped_schema_is_up_to_date():
    done = subprocess.run(
        [sys.executable, "-m", "riskmon.publish.reports.schema"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert SCHEMA.read_text(encoding="utf-8") == done.stdout, (
        "run: python -m riskmon.publish.reports.schema > docs/report.schema.json"
    )


def test_the_json_report_has_the_figures():
    document = json.loads(render_json(FULL_REPORT))
    harm = document["harms"][0]
    assert harm["verdict"] == "over"
    assert harm["total"]["expected"] == 27.4
    assert harm["strata"][0]["stratum"] == {"route": "agents", "model": "chat-v3"}
    assert [row["horizon"] for row in harm["outlook"]] == ["today", "24h", "7d"]
    assert harm["backtest"]["cannot_tell"] == 4
    assert document["scope"]["lookback"] == 86_400
    assert document["schema_version"] == 1


def test_what_is_not_finite_is_null_in_json():
    harm = replace(HARM, total=replace(HARM.total, upper=float("inf"), requests=float("nan")))
    document = json.loads(render_json(replace(FULL_REPORT, harms=(harm,))))
    assert document["harms"][0]["total"]["upper"] is None
    assert document["harms"][0]["total"]["requests"] is None


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_whole_in_json(text):
    row = json.loads(render_json(hostile_report(text)))["harms"][0]["contributors"][0]
    assert row["prompt_id"] == text.encode("utf-8", "replace").decode()
