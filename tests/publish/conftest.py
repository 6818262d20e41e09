"""The application behind a real server, in a process whose state the tests set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from support.snapshots import FACTS, FULL

from riskmon.errors import StoreUnavailable
from riskmon.publish import Server, build_app
from riskmon.records import Snapshot


@dataclass
class Process:
    """What the application is told about the process around it; without a snapshot its store is down."""

    shown: Snapshot | None = FULL
    alive: dict[str, bool] = field(default_factory=lambda: {"intake": True, "scheduler": True})
    reasons: list[str] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        if self.shown is None:
            raise StoreUnavailable("no such file")
        return self.shown


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def client(process: Process) -> Iterator[httpx.Client]:
    app = build_app(process.snapshot, lambda: FACTS, lambda: process.alive, lambda: process.reasons)
    with ExitStack() as stack:
        server = stack.enter_context(Server(app, "127.0.0.1:0"))
        yield stack.enter_context(httpx.Client(base_url=server.url))
