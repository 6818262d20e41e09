"""The JSON API over real HTTP: every answer fits the description it publishes, and holds what the snapshot holds."""

import json
import math
from dataclasses import replace
from datetime import datetime

import httpx
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from support.snapshots import CYCLE, EMPTY, FACTS, FORECASTS, FULL, NOW, forecast, stratum

from riskmon.publish import Server, build_app
from riskmon.publish.api import ENDPOINTS, openapi
from riskmon.records import CoverageCount, Stratum, TrafficStatus
from riskmon.statistics import upper_limit

ROOT = "/api/v1"
PATHS = [endpoint.path for endpoint in ENDPOINTS]
PROBLEM = "application/problem+json"

NAN = float("nan")
ODD = replace(
    FULL,
    forecasts=(
        forecast(
            "misuse", None, (NAN, NAN, math.inf, NAN, math.inf, NAN, NAN, 4, 0), worst_query_probability=NAN
        ),
        forecast("misuse", stratum("\ud800chat"), (NAN, 0, math.inf, 0.1, math.inf, 0.1, NAN, 4, 0)),
    ),
    last_cycle=replace(
        CYCLE, weight_mean=NAN, device_seconds=math.inf, health=(replace(CYCLE.health[0], khat=NAN),)
    ),
    traffic=TrafficStatus(up=False, lag_messages=None, at=NOW, detail="no answer from \udfff"),
)


def read(answer: httpx.Response) -> dict:
    """The body, as strict JSON: `NaN` and `Infinity`, which Python would take, are refused."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(answer.content, parse_constant=refuse)


def complaints(document: dict, answer: httpx.Response) -> list[str]:
    """What is wrong with an answer by the description: status, content type, body."""
    promised = document["paths"][answer.url.path]["get"]["responses"]
    content = promised[str(answer.status_code)]["content"][answer.headers["content-type"]]
    registry: Registry = Registry().with_resource("urn:api", Resource.from_contents(document, DRAFT202012))
    schema = {"$ref": "urn:api" + content["schema"]["$ref"]}
    validator = Draft202012Validator(schema, registry=registry, format_checker=FormatChecker())
    return [error.message for error in validator.iter_errors(read(answer))]


# ---- the description


@pytest.mark.parametrize("scheme", [None, "basic", "bearer"])
def test_the_description_is_valid_openapi(scheme):
    document = openapi("1.2.3", scheme)
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    assert document["openapi"].startswith("3.1")
    assert ("401" in document["paths"][f"{ROOT}/forecast"]["get"]["responses"]) is (scheme is not None)
    assert ("securitySchemes" in document["components"]) is (scheme is not None)


def test_a_wrong_description_would_be_seen():
    """The premise of the test above."""
    document = openapi("1.2.3")
    document["paths"][f"{ROOT}/forecast"]["get"]["responses"]["200"].pop("description")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) != []


def test_the_description_is_served_and_tells_of_every_address(client):
    answer = client.get(f"{ROOT}/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    document = read(answer)
    assert document == openapi(FACTS.version)
    assert set(document["paths"]) == {
        f"{ROOT}/{name}" for name in ("forecast", "strata", "estimates", "health")
    }
    assert document["info"]["version"] == FACTS.version


def test_every_field_is_described():
    for name, schema in openapi("1")["components"]["schemas"].items():
        assert schema["description"], name
        for key, value in schema["properties"].items():
            assert value.get("description"), f"{name}.{key}"
        assert set(schema["required"]) == set(schema["properties"]), f"{name}: no field is ever absent"


@pytest.mark.parametrize("shown", [FULL, EMPTY, ODD, None], ids=["full", "empty", "odd", "no store"])
def test_every_answer_fits_the_description(client, process, shown):
    process.shown = shown
    for path in PATHS:
        answer = client.get(path)
        assert complaints(openapi(FACTS.version), answer) == [], path
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_an_answer_that_does_not_fit_would_be_seen(client):
    """The premise of the test above."""
    document = openapi(FACTS.version)
    properties = document["components"]["schemas"]["ForecastItem"]["properties"]
    properties["expected"]["anyOf"] = [{"type": "string"}]
    assert "27.4 is not valid under any of the given schemas" in complaints(
        document, client.get(f"{ROOT}/forecast")
    )
    del properties["expected"]
    assert any(
        "Additional properties" in text for text in complaints(document, client.get(f"{ROOT}/forecast"))
    )


# ---- what the answers hold


def test_the_total_says_why_it_changed_and_versions_are_compared(client):
    body = read(client.get(f"{ROOT}/forecast"))
    changes = {item["harm"]: item["change"] for item in body["forecasts"] if item["stratum"] is None}
    assert changes["misuse"] == {
        "total": {"mean": 12.1, "lower": 2.5, "upper": 24.6},
        "volume": {"mean": 3.2, "lower": 1.1, "upper": 5.7},
        "mix": {"mean": 0.9, "lower": -0.4, "upper": 2.2},
        "p": {"mean": 8.0, "lower": -1.6, "upper": 20.3},
    }
    assert changes["insult"]["total"] == {"mean": -41.5, "lower": None, "upper": None}
    assert {item["change"] is None for item in body["forecasts"] if item["stratum"] is not None} == {True}
    (versions,) = body["versions"]
    assert {key: versions[key] for key in ("harm", "label", "before", "after")} == {
        "harm": "misuse",
        "label": "model",
        "before": "chat-v3",
        "after": "chat-v4-canary",
    }
    assert versions["change"]["p"] == {"mean": 1.8, "lower": -2.9, "upper": 7.4}


def test_without_anything_to_compare_with_change_is_null_and_a_retired_harm_is_not_shown(client, process):
    retired = replace(FULL.version_changes[0], harm="retired")
    process.shown = replace(FULL, changes={"retired": FULL.changes["misuse"]}, version_changes=(retired,))
    body = read(client.get(f"{ROOT}/forecast"))
    assert [item["change"] for item in body["forecasts"]] == [None] * len(FORECASTS)
    assert body["versions"] == []


def test_the_forecast_holds_totals_and_strata(client):
    body = read(client.get(f"{ROOT}/forecast"))
    assert datetime.fromisoformat(body["taken_at"]) == NOW
    assert datetime.fromisoformat(body["made_at"]) == FULL.forecast_at
    assert [(item["harm"], item["expected"]) for item in body["forecasts"]] == [
        (item.harm, item.expected) for item in FORECASTS
    ]
    total, agents = body["forecasts"][:2]
    assert total.pop("change") is not None
    assert total == {
        "harm": "misuse",
        "stratum": None,
        "made_at": "2026-03-09T14:05:21Z",
        "expected": 27.4,
        "lower": 14,
        "upper": 46,
        "any_probability": 1 - 1.3e-12,
        "budget_daily": 10,
        "daily_requests": 1_284_300,
        "harm_probability": 2.13e-5,
        "harm_probability_upper": 3.9e-5,
        "worst_query_probability": 0.0147,
        "prompts": 1642,
        "hits": 391,
        "basis": "requests of the last 24 h",
    }
    assert agents["stratum"] == {"route": "agents", "model": "chat-v3"}
    assert agents["budget_daily"] is None
    assert body["forecasts"][4]["worst_query_probability"] is None


def test_only_forecasts_of_the_running_configuration_are_shown(client, process):
    strange = forecast("misuse", Stratum((("tenant", "x"),)), (1, 0, 2, 0.6, 10, 0.1, 0.2, 3, 1))
    removed = forecast("gone", None, (1, 0, 2, 0.6, 10, 0.1, 0.2, 3, 1))
    process.shown = replace(FULL, forecasts=(strange, removed, FORECASTS[0]))
    (only,) = read(client.get(f"{ROOT}/forecast"))["forecasts"]
    assert only["expected"] == 27.4
    assert read(client.get(f"{ROOT}/strata"))["strata"] == []


def test_strata_hold_volume_and_probability_the_largest_first(client):
    items = read(client.get(f"{ROOT}/strata"))["strata"]
    assert [item["stratum"]["route"] for item in items] == ["chat", "summarise", "agents", "chat"]
    assert sum(item["share"] for item in items) == pytest.approx(1)
    agents = items[2]
    assert agents["daily_requests"] == 96_400
    assert agents["share"] == pytest.approx(96_400 / 1_284_300)
    assert agents["harms"] == [
        {
            "harm": "misuse",
            "harm_probability": 2.03e-4,
            "harm_probability_upper": 4.1e-4,
            "expected": 19.6,
            "prompts": 405,
            "hits": 288,
            "rewording": {
                "prompts": 3,
                "worst_amplification": 12.5,
                "worst_amplification_lower": 4.25,
                "worst_amplification_upper": 61,
                "log10_spread": 0.82,
            },
        },
        {
            "harm": "insult",
            "harm_probability": 3.96e-4,
            "harm_probability_upper": 6.2e-4,
            "expected": 38.2,
            "prompts": 406,
            "hits": 517,
            "rewording": None,
        },
    ]
    unknown = items[0]["harms"][0]["rewording"]
    assert unknown == {
        "prompts": 1,
        "worst_amplification": None,
        "worst_amplification_lower": 0,
        "worst_amplification_upper": None,
        "log10_spread": None,
    }


def test_strata_that_came_and_went_are_named(client):
    body = read(client.get(f"{ROOT}/strata"))
    [gone] = body["vanished"]
    assert gone == {
        "at": "2026-03-09T09:07:21Z",
        "change": "vanished",
        "stratum": {"route": "retired", "model": "chat-v3"},
        "since": "2026-03-07T20:07:21Z",
        "share": 0.0031,
    }
    assert [(event["change"], event["since"], event["share"]) for event in body["events"]] == [
        ("vanished", gone["since"], 0.0031),
        ("appeared", None, None),
    ]


def test_responses_in_the_audit_are_told_apart_from_the_model_s_own_draws(client, process):
    counted = CoverageCount("misuse", None, 900_001, 17, responses=1_200, response_gap_hits=2)
    process.shown = replace(FULL, coverage=(counted,))
    misuse = read(client.get(f"{ROOT}/estimates"))["harms"][0]
    assert misuse["responses"] == {"responses": 1_200, "gap_hits": 2, "from_target": False}
    assert misuse["pooled"]["target_draws"] == 900_001


def test_strata_say_when_prompts_were_reworded(client):
    assert read(client.get(f"{ROOT}/strata"))["reworded_at"] == "2026-03-09T03:39:27Z"


def test_before_the_first_sensitivity_run_nothing_is_said_of_rewording(client, process):
    process.shown = replace(FULL, sensitivity=None)
    body = read(client.get(f"{ROOT}/strata"))
    assert body["reworded_at"] is None
    assert [harm["rewording"] for item in body["strata"] for harm in item["harms"]] == [None] * 8


def test_estimates_hold_health_audit_and_cost(client, process):
    process.shown = replace(FULL, coverage=(CoverageCount("misuse", None, 900_001, 17),))
    body = read(client.get(f"{ROOT}/estimates"))
    misuse, insult = body["harms"]
    assert misuse == {
        "harm": "misuse",
        "judge": "regex",
        "ess_ratio": 0.214,
        "khat": 0.58,
        "coverage_gap_ratio": 0.0122,
        "last_cycle": {"target_draws": 82_100, "gap_hits": 21, "uncovered_probability_upper": 3.4e-4},
        "pooled": {
            "target_draws": 900_001,
            "gap_hits": 17,
            "uncovered_probability_upper": upper_limit(17, 900_001),
        },
        "observed": {"outputs": 20_011, "harmful": 1, "uncovered": 0},
        "responses": None,
    }
    assert insult["pooled"] is None
    assert insult["observed"] == {"outputs": 20_012, "harmful": 7, "uncovered": 3}
    cycle = body["cycle"]
    assert (cycle["prompts"], cycle["left_out"], cycle["failures"]) == (
        1642,
        158,
        {"too_long": 3, "not_finite": 1},
    )
    assert (cycle["weight_mean"], cycle["path_discrepancy_nats"]) == (0.9871, 0.0021)
    assert datetime.fromisoformat(cycle["finished_at"]) == CYCLE.finished_at


def test_before_the_first_cycle_nothing_is_claimed(client, process):
    process.shown = EMPTY
    body = read(client.get(f"{ROOT}/estimates"))
    assert body["cycle"] is None
    assert [harm["last_cycle"] for harm in body["harms"]] == [None, None]
    assert {harm["khat"] for harm in body["harms"]} == {None}
    assert read(client.get(f"{ROOT}/forecast"))["made_at"] is None


def test_the_outlook_has_every_horizon_with_its_intervals(client, process):
    process.shown = FULL
    outlook = read(client.get(f"{ROOT}/forecast"))["outlook"]
    assert [(item["harm"], item["horizon"]) for item in outlook] == [
        (harm, horizon) for harm in ("misuse", "insult") for horizon in ("today", "24h", "7d")
    ]
    day = outlook[1]
    assert [interval["level"] for interval in day["intervals"]] == [0.5, 0.9, 0.99]
    assert day["intervals"][1] == {"level": 0.9, "lower": 14, "upper": 46}
    assert day["over_budget_probability"] == 0.993
    assert day["variance"]["prompts"] == 0.52
    assert "more prompts" in day["sharper"]
    assert outlook[2]["variance"] is None
    assert outlook[2]["sharper"] == ""


def test_numbers_that_are_not_finite_are_null_and_broken_text_is_mended(client, process):
    process.shown = ODD
    total, cell = read(client.get(f"{ROOT}/forecast"))["forecasts"]
    assert [total[key] for key in ("expected", "lower", "upper", "any_probability", "daily_requests")] == [
        None
    ] * 5
    assert cell["stratum"]["route"] == "?chat"
    assert (cell["lower"], cell["harm_probability"]) == (0, 0.1)
    assert read(client.get(f"{ROOT}/estimates"))["cycle"]["device_seconds"] is None
    assert read(client.get(f"{ROOT}/health"))["traffic"]["detail"] == "no answer from ?"
    assert client.get("/").status_code == 200


def test_health_has_the_checks_of_readyz_and_the_reasons(client, process):
    calm = replace(FULL, forecasts=FORECASTS[5:], last_cycle=replace(CYCLE, health=CYCLE.health[1:]))
    process.shown = calm
    answer = client.get(f"{ROOT}/health")
    assert (answer.status_code, client.get("/readyz").status_code) == (200, 200)
    body = read(answer)
    assert body["status"] == "ready"
    assert (body["reasons"], body["attention"]) == ([], [])
    assert body["loops"] == {"intake": True, "scheduler": True}
    assert datetime.fromisoformat(body["estimates_at"]) == CYCLE.finished_at
    assert body["traffic"]["lag_messages"] == 1207

    process.reasons.append("the broker kafka:9092 does not answer")
    answer = client.get(f"{ROOT}/health")
    assert (answer.status_code, client.get("/readyz").status_code) == (503, 503)
    body = read(answer)
    assert (body["status"], body["reasons"]) == ("not ready", ["the broker kafka:9092 does not answer"])
    assert body["attention"] == ["Not ready: the broker kafka:9092 does not answer"]


def test_health_says_what_died(client, process):
    process.alive["intake"] = False
    answer = client.get(f"{ROOT}/health")
    assert answer.status_code == 503
    body = read(answer)
    assert body["status"] == "dead"
    assert body["loops"] == {"intake": False, "scheduler": True}
    assert "The loop 'intake' of this process has stopped." in body["attention"]


def test_a_store_that_is_down_is_a_problem_but_health_still_answers(client, process):
    process.shown = None
    for name in ("forecast", "strata", "estimates"):
        answer = client.get(f"{ROOT}/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (503, PROBLEM)
        body = read(answer)
        assert body["title"] == "Service Unavailable"
        assert body["detail"].startswith("The store cannot be read")
    answer = client.get(f"{ROOT}/health")
    assert answer.status_code == 503
    assert read(answer)["store_up"] is False


# ---- the rules of HTTP


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_it_is_read_only(client, method):
    for path in (*PATHS, f"{ROOT}/openapi.json"):
        answer = client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (405, PROBLEM)
        assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}
        assert read(answer) == {
            "type": "about:blank",
            "title": "Method Not Allowed",
            "status": 405,
            "detail": "Method Not Allowed",
        }


def test_head_has_the_headers_of_get_and_no_body(client):
    plain = {"Accept-Encoding": "identity"}
    for path in (*PATHS, f"{ROOT}/openapi.json"):
        head, get = client.head(path, headers=plain), client.get(path, headers=plain)
        assert (head.status_code, head.content) == (get.status_code, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


def test_other_addresses_below_api_are_a_problem(client):
    for path in ("/api/v1/nothing", "/api/v1/forecast/", "/api/v2/forecast", "/api/"):
        answer = client.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM)
        assert read(answer)["status"] == 404


def test_a_fault_is_a_problem_and_its_text_stays_out_of_answer_and_log(client, process, caplog):
    secret = "-".join(["prompt", "text"])  # put together here: a trace shows lines of code

    def fail():
        raise RuntimeError(secret)

    process.snapshot = fail  # type: ignore[method-assign]
    with Server(build_app(process.snapshot, lambda: FACTS, dict, list), "127.0.0.1:0") as server:
        answer = httpx.get(f"{server.url}{ROOT}/forecast")
        page = httpx.get(f"{server.url}/")
    assert (answer.status_code, answer.headers["content-type"]) == (500, PROBLEM)
    assert "content-security-policy" in answer.headers
    assert (page.status_code, page.text) == (500, "Internal Server Error")
    assert "RuntimeError" in caplog.text
    assert secret not in caplog.text + answer.text + page.text
