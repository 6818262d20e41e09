"""`riskmon run` as a user runs it: a process of its own, with a configuration file, watched from outside."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

COMMAND = (sys.executable, "-m", "riskmon")
_START_WITHIN_S = 90.0


def write_config(folder: Path, target: Path, **sections: Any) -> Path:
    """A configuration over a tiny model: a persona as expert, `bad` as harm; sections replace or extend it."""
    config: dict[str, Any] = {
        "model": {"target": str(target), "device": "cpu", "chat_template": "none", "max_new_tokens": 5},
        "experts": [{"name": "persona", "kind": "system_prompt", "text": "bad worse bad"}],
        "harms": [{"name": "bad", "judge": {"kind": "regex", "pattern": "bad"}, "budget_daily": 100}],
        "estimate": {"samples_per_prompt": 40, "defensive_share": 0.25},
        "publish": {"listen": "127.0.0.1:0"},
        "store": {"url": "sqlite:///riskmon.db"},
    }
    file = folder / "riskmon.yaml"
    file.write_text(yaml.safe_dump(config | sections))
    return file


class RunningDaemon:
    """A started daemon; `log` is all it wrote so far."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.process = process
        self._log_file = log_file

    @property
    def log(self) -> str:
        return self._log_file.read_text()

    @property
    def address(self) -> str:
        """host:port of HTTP, as the daemon says it in its log."""
        self.wait_until(lambda: "serving on http://" in self.log, "the daemon serves")
        return re.findall(r'serving on http://([^\s",]+)', self.log)[-1]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://{self.address}{path}", timeout=10)

    def wait_until(self, holds: Callable[[], Any], what: str, within_s: float = _START_WITHIN_S) -> Any:
        """Poll until something holds; a daemon that ended meanwhile fails the test with its log."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if found := holds():
                return found
            assert self.process.poll() is None, f"the daemon ended ({self.process.returncode}):\n{self.log}"
            time.sleep(0.1)
        raise AssertionError(f"not within {within_s} s: {what}\n{self.log}")

    def metric(self, series: str) -> float | None:
        """Value of one series of /metrics, labels as written there; None while it is absent."""
        for line in self.get("/metrics").text.splitlines():
            if line.startswith(series + " "):
                return float(line.rpartition(" ")[2])
        return None

    def end(self, number: int = signal.SIGTERM, within_s: float = 10.0) -> int:
        """Send a signal and wait; returns the exit code."""
        self.process.send_signal(number)
        return self.process.wait(within_s)


@contextmanager
def running(config: Path, *options: str, **environment: str) -> Iterator[RunningDaemon]:
    """Start `riskmon run -c config`, with further options and variables; whatever happens, it is gone afterwards."""
    log_file = config.with_name(f"daemon-{time.monotonic_ns()}.log")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "run", "-c", str(config), *options],
            stdout=log,
            stderr=log,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
    try:
        yield RunningDaemon(process, log_file)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a riskmon command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
        **options,
    )
