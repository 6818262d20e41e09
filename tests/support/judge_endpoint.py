"""A real OpenAI-compatible endpoint on 127.0.0.1 that answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from support.http_server import serving


@dataclass(frozen=True)
class Reply:
    """What the endpoint does with one request: waits, then sends a status, headers and a body."""

    content: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body: bytes | None = None

    def payload(self) -> bytes:
        """The body, by default a chat completion with the content."""
        if self.body is not None:
            return self.body
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": self.content}}]}).encode()


@dataclass
class Endpoint:
    """What the endpoint has seen.

    Attributes:
        url: its base URL. requests: (path, headers, body) in order of arrival. peak: most requests at once.
    """

    url: str = ""
    requests: list[tuple[str, dict[str, str], dict]] = field(default_factory=list)
    peak: int = 0
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def count(self, path: str, headers: dict[str, str], body: dict) -> Iterator[int]:
        """Note a request while it is under way; gives its number."""
        with self._lock:
            self.requests.append((path, headers, body))
            self._open += 1
            self.peak = max(self.peak, self._open)
            number = len(self.requests)
        try:
            yield number
        finally:
            with self._lock:
                self._open -= 1


@contextmanager
def serve(reply: Callable[[int, str], Reply]) -> Iterator[Endpoint]:
    """Run an endpoint; `reply` gets the number of the request, from 1, and the text it is to rate."""
    seen = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with seen.count(self.path, dict(self.headers), body) as number:
                answer = reply(number, body["messages"][-1]["content"])
                time.sleep(answer.delay_s)
            payload = answer.payload()
            try:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)
            except OSError:
                self.close_connection = True  # the caller did not wait

        def log_message(self, *args: object) -> None:
            pass

    with serving(Handler) as address:
        seen.url = f"{address}/v1"
        yield seen
