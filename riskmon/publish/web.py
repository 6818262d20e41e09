"""The HTTP surface: `/`, `/metrics`, `/healthz`, `/readyz`, `/api/v1/...`, `/reports/NAME`, and nothing else.

`/healthz` asks whether this process's loops run: 200, or 503 with the names of those that died, and a supervisor
restarts the process. `/readyz` asks whether configuration, store and source are there: 200, or 503 with the reasons.
Neither asks whether the forecast is fresh: that is an alert, for a restart would not help. A process whose role is the
intake or the estimate serves `/metrics` with what is its own, the probes, and nothing else.

All of it is read-only: GET and HEAD, 405 for the rest. Who may read is `publish.auth`, see `access.py`. A request
passes from the outside in: security headers, faults, compression, access, routes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskmon.config.publish import PublishConfig
from riskmon.logs import describe
from riskmon.publish import api, page
from riskmon.publish.access import KNOWN, Access, read_credentials
from riskmon.publish.facts import Facts
from riskmon.publish.latest import LatestSnapshot
from riskmon.publish.metrics import Exposition, RoleExposition
from riskmon.publish.problem import problem
from riskmon.publish.report_files import ReportFolder, media_type
from riskmon.records import Snapshot

_CLOSED = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{page.STYLE_HASH}'; img-src data:; {_CLOSED}"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# A report brings styles and pictures of its own; it runs nothing, and stands apart from the rest of the origin.
_REPORT_POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; {_CLOSED}; sandbox"
)
_CHUNK_BYTES = 65536
# An exposition of 650 kB takes 5 ms; at the library's 9 it is a sixth smaller and takes four times as long.
_GZIP_LEVEL = 4

log = logging.getLogger(__name__)


def build_app(
    snapshot: Callable[[], Snapshot],
    facts: Callable[[], Facts],
    alive: Callable[[], Mapping[str, bool]],
    ready: Callable[[], Sequence[str]],
    config: PublishConfig | None = None,
) -> Starlette:
    """The application.

    Args:
        snapshot: reads the store; raises `StoreUnavailable` when it cannot. Called from worker threads, one at a
            time, at most once a second.
        facts: what is configured and running, asked for at each answer: a reload may change it.
        alive: per loop of this process, whether it runs.
        ready: reasons why this process is not ready; empty when it is.
        config: the section `publish`: who may read, and where reports lie. By default all may, and there are none.

    Raises:
        ConfigError: the file of a secret or the folder of reports cannot be used.
    """
    config = config or PublishConfig()
    source = api.Source(LatestSnapshot(snapshot), facts, alive, ready)
    reports = None if config.reports is None else ReportFolder(config.reports)
    scheme = None if config.auth.kind == "none" else config.auth.kind
    app = Starlette(
        routes=[
            Route("/", _landing(source, reports)),
            *_machines(source, Exposition(source.latest, source.facts)),
            *api.routes(source, scheme),
            *([] if reports is None else [Route("/reports/{name}", _report(reports))]),
        ],
        middleware=_middleware(config),
        exception_handlers={HTTPException: _explain},
    )
    app.router.redirect_slashes = False  # one address per page: `/metrics/` is a 404
    return app


def build_role_app(
    facts: Callable[[], Facts],
    written_at: Callable[[], datetime] | None,
    alive: Callable[[], Mapping[str, bool]],
    ready: Callable[[], Sequence[str]],
    config: PublishConfig,
) -> Starlette:
    """The application of a process that publishes nothing: its probes, and metrics of its own.

    Args:
        written_at: when a write of it last went through; None where it writes too seldom for that to tell anything.
        facts, alive, ready, config: as of `build_app`.

    Raises:
        ConfigError: the file of a secret cannot be used.
    """
    source = api.Source(lambda: None, facts, alive, ready)
    app = Starlette(
        routes=_machines(source, RoleExposition(facts, written_at)),
        middleware=_middleware(config),
        exception_handlers={HTTPException: _explain},
    )
    app.router.redirect_slashes = False
    return app


def _machines(source: api.Source, exposition: Exposition | RoleExposition) -> list[Route]:
    """What Prometheus and supervisors ask, of a process of any role."""
    return [
        Route("/metrics", _metrics(exposition)),
        Route("/healthz", _healthz(source)),
        Route("/readyz", _readyz(source)),
    ]


def _middleware(config: PublishConfig) -> list[Middleware]:
    """From the outside in."""
    layers = [
        Middleware(_SecurityHeaders),
        Middleware(_Faults),
        Middleware(GZipMiddleware, compresslevel=_GZIP_LEVEL),
    ]
    credentials = read_credentials(config.auth)
    if credentials is not None:
        layers.append(Middleware(Access, credentials, metrics=config.auth.metrics))
    return layers


# ---- routes; plain functions run in worker threads, so that a slow store never holds up the event loop


def _landing(source: api.Source, reports: ReportFolder | None) -> Callable[[Request], Response]:
    def landing(_: Request) -> Response:
        shown = source.latest()
        found = None if reports is None else reports.newest()
        html = page.render(shown, source.facts(), source.alive(), source.ready(), found)
        # A producer may send lone surrogates in a label, which UTF-8 cannot carry.
        return HTMLResponse(html.encode("utf-8", "replace"), status_code=200 if shown is not None else 503)

    return landing


def _metrics(exposition: Exposition | RoleExposition) -> Callable[[Request], Response]:
    def metrics(request: Request) -> Response:
        body, content_type = exposition.encode(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type, "Vary": "Accept"})

    return metrics


def _healthz(source: api.Source) -> Callable[[Request], Response]:
    def healthz(_: Request) -> Response:
        loops = dict(source.alive())
        dead = [name for name, runs in loops.items() if not runs]
        if dead:
            return JSONResponse({"status": "dead", "dead": dead}, status_code=503)
        return JSONResponse({"status": "alive", "loops": list(loops)})

    return healthz


def _readyz(source: api.Source) -> Callable[[Request], Response]:
    def readyz(request: Request) -> Response:
        reasons = list(source.ready())
        if not reasons:
            return JSONResponse({"status": "ready"})
        # Reasons name brokers and databases: not for a caller who has not shown who it is.
        told = {"reasons": reasons} if request.scope.get(KNOWN, True) else {}
        return JSONResponse({"status": "not ready", **told}, status_code=503)

    return readyz


def _report(reports: ReportFolder) -> Callable[[Request], Response]:
    def report(request: Request) -> Response:
        name = request.path_params["name"]
        opened = reports.open(name)
        if opened is None:
            raise HTTPException(404)
        file, size = opened
        headers = {"Content-Type": media_type(name), "Content-Security-Policy": _REPORT_POLICY}
        if request.method == "HEAD":
            file.close()
            return Response(headers={**headers, "Content-Length": str(size)})
        return StreamingResponse(_chunks(file), headers=headers)

    return report


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _explain(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # it is registered for nothing else
    return problem(request.url.path, exc.status_code, headers=exc.headers)


# ---- layers


class _SecurityHeaders:
    """Adds the headers of `_SECURITY_HEADERS` to every answer that has not its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class _Faults:
    """Answers 500 to a request that fails, and logs where; the server's own log would show the fault's text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_noting_start(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_noting_start)
        except ClientDisconnect:
            return  # nobody is left to answer
        except Exception as exc:  # noqa: BLE001 - a fault in one answer must not end in a trace that holds data
            log.error("an answer failed: %s", describe(exc))
            if not started:
                await problem(scope["path"], 500)(scope, receive, send)
