"""A real HTTP server on 127.0.0.1 that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from support.http_server import serving


@dataclass
class Sink:
    """What has arrived: path, headers in lower case, and the JSON body of each request."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)


@contextmanager
def sink(*statuses: int, delay_s: float = 0.0) -> Iterator[Sink]:
    """Run a server that answers with these statuses in turn, the last one again and again; 200 without any."""
    seen = Sink()
    answers = list(statuses or (200,))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            time.sleep(delay_s)
            self.send_response(answers[min(len(seen.requests), len(answers)) - 1])
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as address:
        seen.url = f"{address}/hook"
        yield seen
