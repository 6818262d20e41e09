"""A real browser: headless Chromium that loads a page and says what it made of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

import pytest

# Off: everything that would reach out to the network.
_QUIET = (
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
            [chromium, *_QUIET, f"--user-data-dir={profile}", "--dump-dom", url],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    return Loaded(done.stdout, tuple(re.findall(r"CONSOLE.*", done.stderr)))
