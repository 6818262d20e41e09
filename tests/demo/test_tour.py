"""`riskmon demo --tiny` as a visitor runs it: a process of its own, on real parts."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_RISKMON = [sys.executable, "-m", "riskmon"]


class Visit:
    """A running demo. Every process that it starts, directly or not, carries its scratch folder in its environment."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.out = folder / "out.txt"
        self.most_running = 0
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [*_RISKMON, "demo", "--tiny", *arguments],
                stdout=out,
                stderr=out,
                env={**os.environ, "TMPDIR": str(self.scratch)},
                start_new_session=True,
            )

    def text(self) -> str:
        return self.out.read_text(encoding="utf-8")

    def running(self) -> list[int]:
        """Ids of the demo's processes."""
        mark = f"TMPDIR={self.scratch}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in entry.read_bytes().split(b"\0"):
                    found.append(int(entry.parent.name))
            except OSError:
                continue  # it ended while we looked
        self.most_running = max(self.most_running, len(found))
        return found

    def wait_for(self, words: str) -> None:
        while words not in self.text():
            assert self.process.poll() is None, self.text()
            time.sleep(0.1)

    def finish(self) -> int:
        while self.process.poll() is None:
            self.running()
            time.sleep(0.5)
        return self.process.wait()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)


@pytest.fixture
def demo_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_the_tour_shows_a_forecast_and_ends_by_itself(demo_folder: Path) -> None:
    visit = Visit(demo_folder, "--for", "100", "--port", "0")
    try:
        code = visit.finish()
    finally:
        visit.close()
    text = visit.text()

    assert code == 0, text
    assert "Harmful outputs expected in the next 24 hours: rude" in text
    for route in ("chat", "support", "stories", "workplace"):
        assert re.search(rf"^ *{route} ", text, re.MULTILINE), f"no row for {route}"
    [page] = set(re.findall(r"page +(http://127\.0\.0\.1:\d+/)", text))
    assert f"{page}metrics" in text
    assert f"{page}readyz" in text
    assert re.search(r'riskmon_forecast_total_daily_harmful_outputs\{harm="rude"\} \d', text)
    assert re.search(r"ended; messages written: \d\d,\d+, read: \d\d,\d+; prompts estimated: [1-9]", text)
    assert "Traceback" not in text
    assert "daemon, " not in text, "the daemon had something to complain about"
    assert visit.most_running >= 4, "premise: tour, broker, daemon and device worker were seen"
    assert visit.running() == []
    assert list(visit.scratch.iterdir()) == []


def test_ctrl_c_ends_everything(demo_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        visit = Visit(demo_folder, "--port", str(taken))
        try:
            visit.wait_for("starting the daemon")
            assert len(visit.running()) >= 3
            os.kill(visit.process.pid, signal.SIGINT)
            code = visit.finish()
        finally:
            visit.close()

    assert code == 130, visit.text()
    assert f"port {taken} is taken: the page moves to a free one" in visit.text()
    assert "Traceback" not in visit.text()
    assert visit.running() == []
    assert list(visit.scratch.iterdir()) == []


def test_too_short_a_time_is_said_and_is_a_failure(demo_folder: Path) -> None:
    visit = Visit(demo_folder, "--for", "1", "--port", "0")
    try:
        code = visit.finish()
    finally:
        visit.close()

    assert code == 1, visit.text()
    assert "no forecast was made within 1 s" in visit.text()
    assert visit.running() == []
    assert list(visit.scratch.iterdir()) == []
