"""The HTTP surface: `/`, `/metrics`, `/healthz`, `/readyz`, and nothing else.

`/healthz` asks whether this process's loops run: 200, or 503 with the names of those that died, and a supervisor
restarts the process. `/readyz` asks whether configuration, store and source are there: 200, or 503 with the reasons.
Neither asks whether the forecast is fresh: that is an alert, for a restart would not help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from riskmon.publish import page
from riskmon.publish.facts import Facts
from riskmon.publish.latest import LatestSnapshot
from riskmon.publish.metrics import build_registry
from riskmon.records import Snapshot

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{page.STYLE_HASH}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def build_app(
    snapshot: Callable[[], Snapshot],
    facts: Facts,
    alive: Callable[[], Mapping[str, bool]],
    ready: Callable[[], Sequence[str]],
) -> Starlette:
    """The application.

    Args:
        snapshot: reads the store; raises `StoreUnavailable` when it cannot. Called from worker threads, one at a
            time, at most once a second.
        facts: static facts of the process.
        alive: per loop of this process, whether it runs.
        ready: reasons why this process is not ready; empty when it is.
    """
    latest = LatestSnapshot(snapshot)
    registry = build_registry(latest, facts)

    # Plain functions run in worker threads, so that a slow store never holds up the event loop.
    def metrics(request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except TypeError:  # raised over an Accept header whose version is no number
            encode, content_type = choose_encoder("")
        return Response(encode(registry), headers={"Content-Type": content_type, "Vary": "Accept"})

    def healthz(_: Request) -> Response:
        loops = dict(alive())
        dead = [name for name, runs in loops.items() if not runs]
        if dead:
            return JSONResponse({"status": "dead", "dead": dead}, status_code=503)
        return JSONResponse({"status": "alive", "loops": list(loops)})

    def readyz(_: Request) -> Response:
        reasons = list(ready())
        if reasons:
            return JSONResponse({"status": "not ready", "reasons": reasons}, status_code=503)
        return JSONResponse({"status": "ready"})

    def landing(_: Request) -> Response:
        shown = latest()
        html = page.render(shown, facts, alive(), ready())
        return HTMLResponse(html, status_code=200 if shown is not None else 503)

    app = Starlette(
        routes=[
            Route("/", landing),
            Route("/metrics", metrics),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
        ],
        middleware=[Middleware(_SecurityHeaders), Middleware(GZipMiddleware)],
    )
    app.router.redirect_slashes = False  # one address per page: `/metrics/` is a 404
    return app


class _SecurityHeaders:
    """Adds the headers of `_SECURITY_HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY_HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
