"""A report over real HTTP: what arrives, what is tried again, and what no message gives away."""

import json

import jsonschema
import pytest
from pydantic import ValidationError
from support.http_sink import sink
from support.reporting_fixtures import settings
from support.reports import FULL_REPORT

from riskmon.config import WebhookConfig
from riskmon.config_file import parse_config
from riskmon.errors import DeliveryFailed
from riskmon.publish.reports.schema import schema
from riskmon.reporting.rendered import render
from riskmon.reporting.webhook import post


@pytest.fixture
def rendered(tmp_path):
    config = parse_config(
        settings(publish={"reports": "reports"}, report={"link": "https://riskmon.example/"}), base=tmp_path
    )
    return render(FULL_REPORT, config, ("html", "json"))


def hook(url, **more):
    return WebhookConfig(url=url, **more)


def test_the_summary_arrives_with_secret_and_link(rendered):
    with sink() as seen:
        post(hook(seen.url, secret="Bearer hush\n"), rendered)
    ((path, headers, body),) = seen.requests
    assert path == "/hook"
    assert headers["authorization"] == "Bearer hush"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == "report-20260309T140721Z"
    assert body["link"] == "https://riskmon.example/reports/report-20260309T140721Z.html"
    assert "Over budget by a factor of 2.74" in body["text"]
    assert body["harms"][0] == {
        "name": "misuse",
        "verdict": "over",
        "expected": 27.4,
        "lower": 14,
        "upper": 46,
        "budget_daily": 10,
    }
    assert "report" not in body
    assert "req-8" not in json.dumps(body)  # no prompt's id


def test_the_whole_report_is_sent_where_asked_for(rendered):
    with sink() as seen:
        post(hook(seen.url, content="whole", header="X-Key", secret="hush"), rendered)
    ((_, headers, body),) = seen.requests
    assert headers["x-key"] == "hush"
    jsonschema.Draft202012Validator(schema()).validate(body["report"])


@pytest.mark.parametrize(("statuses", "calls"), [((503, 429, 200), 3), ((500, 204), 2), ((201,), 1)])
def test_what_may_pass_is_tried_again(rendered, statuses, calls):
    waits = []
    with sink(*statuses) as seen:
        post(hook(seen.url, retries=3), rendered, waits.append)
    assert len(seen.requests) == calls
    assert waits == [0.5, 1.0][: calls - 1]


@pytest.mark.parametrize(("status", "calls"), [(503, 3), (400, 1), (401, 1), (302, 1)])
def test_what_is_refused_is_an_error_without_the_address(rendered, status, calls):
    with sink(status) as seen, pytest.raises(DeliveryFailed) as caught:
        post(hook(f"{seen.url}/T0KEN", retries=2, secret="hush"), rendered, lambda _: None)
    assert len(seen.requests) == calls
    assert str(caught.value) == (
        f"the webhook at 127.0.0.1 did not take the report (status {status}); see report.webhook"
    )


def test_nobody_at_home_is_an_error(rendered):
    with pytest.raises(DeliveryFailed, match=r"at 127\.0\.0\.1 .* \(ConnectError\)"):
        post(hook("http://127.0.0.1:9/T0KEN", retries=1), rendered, lambda _: None)


def test_a_server_that_does_not_answer_is_left(rendered):
    with sink(delay_s=3) as seen, pytest.raises(DeliveryFailed, match="ReadTimeout"):
        post(hook(seen.url, timeout="100ms", retries=0), rendered)


@pytest.mark.parametrize(
    "given",
    [
        {"url": "ftp://host/x"},
        {"url": "https://"},
        {"url": "https://host:99999/x"},
        {"url": "https://host/x", "secret": "two\nlines"},
        {"url": "https://host/x", "secret": " "},
        {"url": "https://host/x", "header": "Bad Header"},
    ],
)
def test_settings_that_cannot_work_are_refused_without_showing_them(given):
    with pytest.raises(ValidationError) as caught:
        WebhookConfig(**given)
    assert "lines" not in str(caught.value)


def test_a_link_needs_the_folder_that_the_page_serves(tmp_path):
    apart = {"publish": {"reports": "one"}, "report": {"link": "https://r.example", "folder": "two"}}
    assert render(FULL_REPORT, parse_config(settings(**apart), base=tmp_path), ("html",)).link is None
    assert render(FULL_REPORT, parse_config(settings(), base=tmp_path), ("html",)).link is None
