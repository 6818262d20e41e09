"""Answers that say what went wrong: RFC 9457 problem details under `/api/`, one plain line elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field
from starlette.responses import PlainTextResponse, Response

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="about:blank: the status says all there is to say of the kind")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status, 400 to 599")
    detail: str = Field(description="one sentence for people")


def problem(path: str, status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> Response:
    """The answer of `status` (400 to 599) to a request for `path`; `detail` is by default the status in words."""
    title = HTTPStatus(status).phrase
    if not path.startswith("/api/"):
        return PlainTextResponse(title, status, headers)
    said = Problem(type="about:blank", title=title, status=status, detail=detail or title)
    return Response(said.model_dump_json(), status, headers, media_type=MEDIA_TYPE)
