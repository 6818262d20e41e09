"""A real browser: headless Chromium that loads a page and says what it made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# Off: everything that would reach out to the network.
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
)


@dataclass(frozen=True)
class Loaded:
    """A page after loading: its document as the browser holds it, and what the browser complained about."""

    dom: str
    console: tuple[str, ...]


def load(url: str) -> Loaded:
    """Load a page; console messages are those of the page, policy violations among them."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.fail("the page tests need a browser: apt-get install chromium", pytrace=False)
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [chromium, *QUIET, f"--user-data-dir={profile}", "--dump-dom", url],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return Loaded(done.stdout, tuple(re.findall(r"CONSOLE.*", done.stderr)))


def asked_for(url: str) -> list[str]:
    """Addresses that the page itself asks for while it loads, as the browser's network log tells.

    The browser has errands of its own (updates, time); the log names as their initiator no origin.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "net.json"
        subprocess.run(
            [
                "chromium",
                *QUIET,
                f"--user-data-dir={folder}/profile",
                f"--log-net-log={log}",
                "--dump-dom",
                url,
            ],
            capture_output=True,
            timeout=60,
            check=True,
        )
        entries = json.loads(log.read_text())
    started = entries["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    seen = [event.get("params", {}) for event in entries["events"] if event["type"] == started]
    requests = [params for params in seen if "url" in params]
    host = urlsplit(url).netloc.rpartition("@")[2]
    assert any(host in request["url"] for request in requests), "the page was not loaded"
    return [request["url"] for request in requests if host in request.get("initiator", "")]
