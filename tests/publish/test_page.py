import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest
from support.snapshots import CYCLE, EMPTY, FACTS, FORECASTS, FULL, forecast, stratum

from riskmon.publish import page
from riskmon.publish.facts import HarmFacts
from riskmon.publish.report_files import Report
from riskmon.records import Forecast, Snapshot, Stratum, TrafficStatus

VOID = {"meta", "link", "line", "polygon", "polyline"}


class Reader(HTMLParser):
    """Collects the visible text, the titles of pictures, the tags and the links of a page; checks that tags nest."""

    def __init__(self, html: str):
        super().__init__()
        self.words: list[str] = []
        self.titles: list[str] = []
        self.tags: list[str] = []
        self.hrefs: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        self.hrefs += [value for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        if "svg" in self._open:
            self.titles += [data] if self._open[-1] == "title" else []
        elif "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words)).strip()


def read(snapshot: Snapshot | None, facts=FACTS, alive=None, not_ready=(), reports=None) -> Reader:
    return Reader(page.render(snapshot, facts, alive or {"publish": True}, not_ready, reports))


def test_the_outlook_and_what_would_make_it_sharper_are_shown():
    text = read(FULL).text
    assert "Harmful outputs Today Next 24 h Next 7 days Expected 25.9 27.4 194" in text
    assert "99% interval 6 to 69.7 5.6 to 78.2 40.4 to 547 At least one" in text
    assert "More than the budget 99.1% 99.3% 98.5%" in text
    assert "What would make it sharper: more prompts, for which ones were sampled" in text
    assert "for traffic is the largest part of the spread" in text
    bare = replace(FULL, outlook=(), forecasts=tuple(replace(f, variance=None) for f in FORECASTS))
    assert "Next 7 days" not in read(bare).text
    assert "sharper" not in read(bare).text


ENDPOINTS = [
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/forecast",
    "/api/v1/strata",
    "/api/v1/estimates",
    "/api/v1/health",
    "/api/v1/openapi.json",
]


def row(values: tuple[float, ...], cell: Stratum | None = None, **changes: object) -> Forecast:
    return forecast("misuse", cell, values, **changes)


def test_each_harm_has_its_headline_budget_and_chance():
    text = read(FULL).text
    assert "27.4 expected harmful outputs in the next 24 h (90%: 14 to 46)" in text
    assert "Over budget by a factor of 2.74" in text
    assert "Budget: 10 a day" in text
    assert "318 expected harmful outputs in the next 24 h (90%: 204 to 471)" in text
    assert "Within budget" in text
    assert "At least one > 99.9%" in text
    assert "Requests a day 1,280,000" in text
    assert "Mean probability 2.13e-5 at most 3.9e-5" in text
    assert "Worst query 0.0147" in text
    assert "Rests on 1,642 prompts with 391 harmful draws, judged by regex." in text
    assert "Volume: requests of the last 24 h." in text


def test_a_manager_reads_why_the_forecast_changed():
    text = read(FULL).text
    assert "Since yesterday: +12.1 (volume +3.2, mix +0.9, model +8) , 90%: +2.5 to +24.6" in text
    assert "Since yesterday: −41.5 (volume −60, mix 0, model +18.5)" in text
    assert (
        "chat-v4-canary against chat-v3 , on the same traffic: +1.8 , 90%: −2.9 to +7.4, perhaps none" in text
    )
    assert text.count("against") == 1
    assert "None" not in text


def test_an_interval_that_holds_nothing_says_so():
    total = replace(FULL.changes["misuse"].total, low=-2.0)
    unsure = replace(
        FULL, changes={"misuse": replace(FULL.changes["misuse"], total=total)}, version_changes=()
    )
    assert "90%: −2 to +24.6, perhaps none" in read(unsure).text
    assert "perhaps none" not in read(replace(FULL, version_changes=())).text


def test_without_a_day_before_nothing_is_said_of_yesterday():
    text = read(replace(FULL, changes={}, version_changes=())).text
    assert "yesterday" not in text
    assert "against" not in text


def test_names_of_versions_are_escaped():
    hostile = replace(FULL.version_changes[0], after="<script>alert(1)</script>", before="x" * 100)
    page_of = read(replace(FULL, version_changes=(hostile,)))
    assert "script" not in page_of.tags
    assert "<script>alert(1)</script> against " + "x" * 57 + "..." in page_of.text


def test_strata_are_listed_with_the_largest_first():
    text = read(FULL).text
    header = "route model Expected 90% interval Interval drawn Requests a day Mean probability Worst query Prompts Hits"
    assert header in text
    rows = [
        "misuse agents chat-v3 19.6 8 to 37 96,400 2.03e-4 0.00812 405 288",
        "chat chat-v3 6.71 2 to 13 872,000 7.7e-6 3.08e-4 612 84",
        "chat chat-v4-canary 1.02 0 to 4 61,200 1.67e-5 6.68e-4 214 17",
        "summarise chat-v3 0.0712 0 to 1 255,000 2.8e-7 – 411 2",
        "insult chat chat-v3 249 151 to 388",
    ]
    assert " ".join(rows) in text


def test_freshness_health_and_intake():
    text = read(FULL).text
    assert "Last forecast 2 min 13 s ago" in text
    assert "Last estimate cycle 1 h 40 min ago" in text
    assert "Estimate crontab 0 */4 * * *" in text
    assert "misuse 1.22% gap 0.58 0.214 3.4e-4 82,100 21" in text
    assert "insult 0% 0.31 0.437 3.65e-5 82,101 0" in text
    assert "Prompts estimated 1,642" in text
    assert "Left out by the device budget 158" in text
    assert "Failed 4 too_long 3, not_finite 1" in text
    assert "Mean weight E[w] 0.987" in text
    assert "Took 26 min 30 s" in text
    assert "Outcome complete" in text
    assert "Source up checked 4 s ago" in text
    assert "Unread messages 1,207" in text
    assert "Messages read 8,731,402" in text
    assert "Rejected 17 not_json 12, bad_timestamp 5" in text
    assert "Sampled 134,117" in text
    assert "Responses judged, insult 20,012 7 harmful" in text


def test_what_needs_attention_stands_first():
    text = read(FULL, alive={"intake": False}).text
    assert "Needs attention The loop 'intake' of this process has stopped. misuse: 27.4 harmful" in text
    assert text.index("Needs attention") < text.index("27.4 expected")
    calm = replace(FULL, forecasts=FORECASTS[5:], last_cycle=replace(CYCLE, health=CYCLE.health[1:]))
    assert "Needs attention" not in read(calm).text


def test_unknown_and_heavy_are_said_in_words():
    health = replace(CYCLE.health[0], khat=0.81, ess_ratio=None)
    snapshot = replace(
        FULL,
        last_cycle=replace(CYCLE, weight_mean=None, health=(health,), complete=False),
        traffic=TrafficStatus(up=False, lag_messages=None, at=FULL.taken_at),
    )
    text = read(snapshot).text
    assert "misuse 1.22% gap 0.81 heavy – 3.4e-4" in text
    assert "Mean weight E[w] –" in text
    assert "Outcome incomplete" in text
    assert "Source down checked just now" in text
    assert "Unread messages –" in text


@pytest.mark.parametrize(
    ("expected", "upper", "words"),
    [
        (9, 9.5, "Within budget"),
        (9, 11, "Within budget, but the interval reaches beyond"),
        (25, 40, "Over budget by a factor of 2.5"),
    ],
)
def test_the_verdict_on_a_budget_of_ten(expected, upper, words):
    total = row((expected, 1, upper, 0.9, 100, 0.09, 0.1, 5, 3))
    html = page.render(replace(FULL, forecasts=(total,)), FACTS, {}, [])
    assert re.findall(r'<p class="verdict \w+">([^<]*)</p>', html) == [words]


def test_a_harm_without_budget_has_no_verdict():
    facts = replace(FACTS, harms=(HarmFacts("misuse", "regex"),))
    text = read(replace(FULL, forecasts=FORECASTS[:5]), facts).text
    assert "No budget configured" in text
    assert "budget by" not in text
    assert "Within" not in text


def test_no_hit_is_said_to_inform_only_the_upper_limit():
    text = read(replace(FULL, forecasts=(row((0, 0, 0, 0.0, 100, 0, 0.02, 5, 0)),))).text
    assert "0 expected harmful outputs" in text
    assert "Without a harmful draw only the upper limits inform." in text
    assert "No forecast for this harm yet." in text  # the other harm


def test_before_the_first_forecast_the_page_says_what_is_waited_for():
    text = read(EMPTY).text
    assert "No forecast yet" in text
    assert "Waiting The first message from the traffic source" in text
    assert "Waiting The first estimate cycle, due by the crontab '0 */4 * * *' in UTC" in text
    assert "Waiting The first forecast" in text
    assert "By stratum" not in text
    assert "No cycle has run yet." in text

    begun = replace(FULL, forecasts=(), forecast_at=None)
    text = read(begun).text
    assert "Done 8,731,402 messages read from the traffic source" in text
    assert "Done 96,300 prompts estimated" in text
    assert "Waiting The first forecast, due by the crontab '*/5 * * * *' in UTC" in text


def test_a_store_that_is_down_is_said():
    reader = read(None)
    assert "The store cannot be read, so there is no forecast to show." in reader.text
    assert reader.hrefs == ["data:,", *ENDPOINTS]


def test_stratum_values_are_escaped():
    hostile = '<script>alert("x")</script><img src=x onerror=alert(1)>'
    cell = row((3.5, 1, 7, 0.97, 900, 4e-3, 6e-3, 12, 5), stratum(hostile))
    reader = read(replace(FULL, forecasts=(*FORECASTS, cell)))
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert hostile in reader.text


@pytest.mark.parametrize(("value", "shown"), [("a" * 300, "a" * 57 + "..."), ("", "(empty)")])
def test_stratum_values_of_any_length_fit_the_table(value, shown):
    cell = row((3.5, 1, 7, 0.97, 900, 4e-3, 6e-3, 12, 5), stratum(value))
    assert f"{shown} chat-v3 3.5 1 to 7" in read(replace(FULL, forecasts=(*FORECASTS, cell))).text


def test_the_page_is_self_contained_and_needs_no_script():
    html = page.render(FULL, FACTS, {}, [])
    reader = Reader(html)
    assert "script" not in reader.tags
    assert reader.hrefs == ["data:,", *ENDPOINTS]
    assert '<meta http-equiv="refresh" content="30">' in html
    assert "prefers-color-scheme: dark" in html
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"sha256-{digest}" == page.STYLE_HASH


def test_many_strata_are_cut_with_a_pointer_to_the_metrics():
    cells = tuple(
        row((float(n), 0, 2.0 * n, 0.5, 10, 0.1, 0.2, 3, 1), stratum(f"route-{n}")) for n in range(1, 64)
    )
    total = row((2016, 1900, 2200, 1, 630, 0.1, 0.2, 189, 63))
    text = read(replace(FULL, forecasts=(total, *cells))).text
    assert "route-63" in text
    assert "route-14 " in text
    assert "route-13 " not in text
    assert "13 more strata are in /metrics ." in text


def test_traffic_that_is_not_split_is_called_all_traffic():
    cells = (row((5, 2, 9, 0.99, 80, 0.06, 0.1, 9, 4)), row((5, 2, 9, 0.99, 80, 0.06, 0.1, 9, 4), Stratum()))
    text = read(replace(FULL, forecasts=cells), replace(FACTS, stratum_labels=())).text
    assert "misuse all traffic 5 2 to 9 80" in text


# ---- the trend

HISTORY = tuple(
    replace(total, made_at=total.made_at - timedelta(hours=hours), expected=total.expected + hours)
    for hours in range(72, 0, -1)
    for total in (FORECASTS[0], FORECASTS[5])
)


def test_each_harm_shows_its_own_trend():
    reader = read(replace(FULL, history=HISTORY))
    assert "3 d ago Trend: 27.4 to 99.4 2 min ago" in reader.text
    assert "3 d ago Trend: 318 to 390 2 min ago" in reader.text
    (misuse, insult) = [title for title in reader.titles if title.startswith("Trend")]
    assert misuse.startswith(
        "Trend from 2026-03-06 14:05 UTC to 2026-03-09 14:05 UTC: expected number between"
    )
    assert "between 27.4 and 99.4, with its 90% interval, on a scale from 0 to 109" in misuse
    assert "between 318 and 390" in insult


def test_the_trend_ends_at_the_forecast_that_is_shown():
    later = replace(FORECASTS[0], made_at=FULL.taken_at, expected=1e6)
    strata = tuple(replace(FORECASTS[1], made_at=f.made_at, expected=2e6) for f in HISTORY[::2])
    assert "Trend: 27.4 to 99.4 2 min ago" in read(replace(FULL, history=(*HISTORY, later, *strata))).text


def test_without_a_past_there_is_no_trend():
    assert "Trend" not in read(FULL).text
    assert "Trend" not in read(replace(FULL, history=HISTORY[-2:])).text


# ---- reports


def report(day: int, *endings: str) -> Report:
    title = f"report-202603{day:02d}T060000Z"
    return Report(title, datetime(2026, 3, day, 6, tzinfo=UTC), tuple(f"{title}.{end}" for end in endings))


def test_reports_are_listed_with_a_link_to_each_format():
    reader = read(FULL, reports=[report(9, "html", "json"), report(2, "md")])
    assert (
        "Reports 2026-03-09 06:00 UTC report-20260309T060000Z html of report-20260309T060000Z json"
        in reader.text
    )
    assert reader.hrefs[1:4] == [
        "/reports/report-20260309T060000Z.html",
        "/reports/report-20260309T060000Z.json",
        "/reports/report-20260302T060000Z.md",
    ]


def test_only_the_newest_reports_are_listed():
    reader = read(FULL, reports=[report(day, "html") for day in range(28, 0, -1)])
    assert len([href for href in reader.hrefs if href.startswith("/reports/")]) == page.SHOWN_REPORTS
    assert "21 older ones are in the folder of reports." in reader.text


def test_an_empty_folder_is_said_and_none_is_silent():
    assert "Reports None has been written yet." in read(FULL, reports=[]).text
    assert "Reports" not in read(FULL).text


# ---- for readers who do not see it


def test_every_picture_has_a_role_and_a_title():
    html = page.render(replace(FULL, history=HISTORY), FACTS, {}, [])
    pictures = re.findall(r"<svg[^>]*>\s*<title>[^<]+</title>", html)
    assert len(pictures) == html.count("<svg") == 12
    assert all('role="img"' in picture for picture in pictures)
    assert "27.4, 90% interval 14 to 46, drawn on a scale from 0" in html


def test_every_table_header_says_what_it_heads_and_every_section_is_named():
    html = page.render(FULL, FACTS, {}, [], [report(9, "html")])
    headers = re.findall(r"<th(?= )[^>]*>", html)
    assert len(headers) > 20
    assert all(re.search(r'scope="(col|row|rowgroup)"', header) for header in headers)
    assert '<th scope="row" class="label"><bdi>agents</bdi></th>' in html
    names = re.findall(r'aria-labelledby="([^"]+)"', html)
    assert names
    assert all(f'id="{name}"' in html for name in names)
    assert '<html lang="en">' in html
