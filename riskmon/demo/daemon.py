"""The real daemon, as a child: `riskmon run` on the demo's configuration, watched through its log and its page."""

from __future__ import annotations

import json
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from riskmon.demo.children import Child
from riskmon.publish.names.metric import Metric

# A daemon drains within ten seconds.
_GRACE_S = 15.0
_HTTP_TIMEOUT_S = 2.0
_TROUBLE = frozenset({"WARNING", "ERROR", "CRITICAL"})


class DemoDaemon(Child):
    """`riskmon run` in a process of its own.

    Args:
        config: the configuration file.
        log: receives its log as JSON lines.
        url: base address of its page.
        env: variables added to this process's own.
    """

    def __init__(self, config: Path, log: Path, url: str, env: Mapping[str, str]) -> None:
        super().__init__(
            [sys.executable, "-m", "riskmon", "run", "-c", config],
            log,
            env=env,
            grace_s=_GRACE_S,
        )
        self.url = url
        self._read = 0

    def ended_in_order(self) -> bool:
        """Stop it, and say whether it drained; one that was not up yet has nothing to drain."""
        return self.stop() in (0, -signal.SIGTERM)

    def ready(self) -> bool:
        """Whether model and traffic are there, as `/readyz` says."""
        return self._get("/readyz") is not None

    def metric_lines(self, metrics: Sequence[Metric]) -> list[str]:
        """The samples of some metrics, as `/metrics` shows them, in the order asked for."""
        lines = (self._get("/metrics") or "").splitlines()
        return [
            line
            for metric in metrics
            for line in lines
            if line.startswith((f"{metric.name}{{", f"{metric.name} "))
        ]

    def new_troubles(self) -> list[str]:
        """Warnings and errors logged since the last call."""
        with self.log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind("\n") + 1]  # the last line may still be in the writing
        self._read += len(whole.encode())
        troubles = []
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # a library's own words
            if isinstance(entry, dict) and entry.get("level") in _TROUBLE:
                troubles.append(f"{entry['level'].lower()}: {entry.get('message', '')}")
        return troubles

    def _get(self, path: str) -> str | None:
        """The body of a good answer; None for any other, or none."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=_HTTP_TIMEOUT_S) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return None
