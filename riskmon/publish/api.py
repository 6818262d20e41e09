"""The JSON API under `/api/v1/`, and its OpenAPI 3.1 description, from one table of endpoints.

Every endpoint answers GET (and HEAD) with one model of `api_models/`; errors are problem details (RFC 9457). The
description is generated from the same models and the same table, so that it cannot tell of something else than what
is served. Starlette and pydantic's JSON schema are enough for four read-only endpoints without parameters; a web
framework on top of them would add its own script-laden documentation page, which the page's policy forbids.

The `1` in the path changes when a field is taken away or changes its meaning; a new field does not change it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from riskmon.publish import api_answers, problem
from riskmon.publish.api_models import EstimatesAnswer, ForecastAnswer, HealthAnswer, StrataAnswer
from riskmon.publish.facts import Facts
from riskmon.publish.problem import Problem
from riskmon.records import Snapshot

ROOT = "/api/v1"
OPENAPI_PATH = f"{ROOT}/openapi.json"

_REFERENCE = "#/components/schemas/{model}"
_STORE_DOWN = "The store cannot be read, so there is nothing to show; try again later."


@dataclass(frozen=True, slots=True)
class Source:
    """What the answers are made from.

    Attributes:
        latest: the snapshot to show; None while the store cannot be read.
        facts: what is configured and running, at this moment.
        alive: per loop of this process, whether it runs.
        ready: reasons why this process is not ready; empty when it is.
    """

    latest: Callable[[], Snapshot | None]
    facts: Callable[[], Facts]
    alive: Callable[[], Mapping[str, bool]]
    ready: Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of the API.

    Attributes:
        name: last part of the path, and the operation's id.
        summary: one line for the description.
        model: what it answers.
        answer: makes the answer; None while the store cannot be read.
        statuses: statuses with a body of `model`, and what each means.
    """

    name: str
    summary: str
    model: type[BaseModel]
    answer: Callable[[Source], tuple[BaseModel, int] | None]
    statuses: Mapping[int, str] = field(default_factory=lambda: {200: "The answer."})

    @property
    def path(self) -> str:
        """Where it is served."""
        return f"{ROOT}/{self.name}"


def _shown(make: Callable[[Snapshot, Facts], BaseModel]) -> Callable[[Source], tuple[BaseModel, int] | None]:
    def answer(source: Source) -> tuple[BaseModel, int] | None:
        snapshot = source.latest()
        return None if snapshot is None else (make(snapshot, source.facts()), 200)

    return answer


def _health(source: Source) -> tuple[BaseModel, int]:
    health = api_answers.health_answer(source.latest(), source.facts(), source.alive(), source.ready())
    return health, 200 if health.status == "ready" else 503


ENDPOINTS = (
    Endpoint(
        "forecast",
        "The current forecast: totals and strata with their intervals.",
        ForecastAnswer,
        _shown(api_answers.forecast_answer),
    ),
    Endpoint(
        "strata",
        "Per stratum: predicted volume, probability of harm, and how far rewording moves it.",
        StrataAnswer,
        _shown(api_answers.strata_answer),
    ),
    Endpoint(
        "estimates",
        "Per harm: health of the estimates and the coverage audit.",
        EstimatesAnswer,
        _shown(api_answers.estimates_answer),
    ),
    Endpoint(
        "health",
        "Whether riskmon works, how fresh it is, and what needs attention.",
        HealthAnswer,
        _health,
        {200: "Ready.", 503: "Not ready, or a loop has stopped; the answer says why."},
    ),
)


def routes(source: Source, scheme: str | None = None) -> list[Route]:
    """The routes of the API and of its description.

    Args:
        source: what the answers are made from.
        scheme: HTTP authentication scheme that guards them, basic or bearer; None when nobody is asked.
    """
    description = openapi(source.facts().version, scheme)
    return [
        *(Route(endpoint.path, _serve(endpoint, source)) for endpoint in ENDPOINTS),
        Route(OPENAPI_PATH, lambda _: JSONResponse(description)),
    ]


def _serve(endpoint: Endpoint, source: Source) -> Callable[[Request], Response]:
    # A plain function runs in a worker thread, so that a slow store never holds up the event loop.
    def serve(request: Request) -> Response:
        found = endpoint.answer(source)
        if found is None:
            return problem.problem(request.url.path, 503, _STORE_DOWN)
        answer, status = found
        return Response(answer.model_dump_json(), status, media_type="application/json")

    return serve


# ---- the description


def openapi(version: str, scheme: str | None = None) -> dict[str, Any]:
    """The OpenAPI 3.1 document.

    Args:
        version: of riskmon.
        scheme: as in `routes`.
    """
    models: list[type[BaseModel]] = [*(endpoint.model for endpoint in ENDPOINTS), Problem]
    _, schemas = models_json_schema([(model, "serialization") for model in models], ref_template=_REFERENCE)
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "riskmon",
            "version": version,
            "description": "Forecasts of harmful outputs of a deployed language model. Read-only. "
            "A number that is unknown is null.",
        },
        "servers": [{"url": "/"}],
        "paths": {endpoint.path: {"get": _operation(endpoint, scheme)} for endpoint in ENDPOINTS},
        "components": components,
    }
    if scheme is not None:
        components["securitySchemes"] = {"reader": {"type": "http", "scheme": scheme}}
        document["security"] = [{"reader": []}]
    return document


def _operation(endpoint: Endpoint, scheme: str | None) -> dict[str, Any]:
    responses = {
        str(status): _response(meaning, "application/json", endpoint.model)
        for status, meaning in endpoint.statuses.items()
    }
    problems = {"500": "A fault of riskmon, which its log tells of."}
    problems |= {} if "503" in responses else {"503": "The store cannot be read."}
    problems |= {} if scheme is None else {"401": "Credentials are missing or wrong."}
    responses |= {code: _response(meaning, problem.MEDIA_TYPE, Problem) for code, meaning in problems.items()}
    return {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "responses": dict(sorted(responses.items())),
    }


def _response(meaning: str, media_type: str, model: type[BaseModel]) -> dict[str, Any]:
    reference = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {"description": meaning, "content": {media_type: {"schema": reference}}}
