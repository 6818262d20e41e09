"""A real Prometheus that scrapes one address every second, and promtool's reading of an exposition."""

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

_DEADLINE_S = 30.0


@dataclass(frozen=True)
class PrometheusServer:
    """A running Prometheus; `query` takes an instant PromQL expression."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression})
        answer.raise_for_status()
        return answer.json()["data"]["result"]

    def values(self, expression: str, label: str) -> dict[str, float]:
        """The value of each series, by one of its labels."""
        return {row["metric"].get(label, ""): float(row["value"][1]) for row in self.query(expression)}

    def wait_for(self, expression: str) -> list[dict[str, Any]]:
        """The result of `expression` as soon as it is not empty."""
        deadline = time.monotonic() + _DEADLINE_S
        while time.monotonic() < deadline:
            if result := self.query(expression):
                return result
            time.sleep(0.2)
        targets = httpx.get(f"{self.url}/api/v1/targets").json()["data"]["activeTargets"]
        raise AssertionError(f"no result of {expression!r}; targets: {targets}")


StartPrometheus = Callable[..., PrometheusServer]


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[StartPrometheus]:
    """Start a Prometheus that scrapes `host:port` under the job name `riskmon`, with alerting rules and
    the `host:port` of an Alertmanager where given."""
    binary = installed("prometheus")
    with ExitStack() as stack:

        def start(
            address: str, rules: str = "groups: []\n", alertmanager: str | None = None
        ) -> PrometheusServer:
            folder = tmp_path / f"prometheus-{address.rpartition(':')[2]}"
            folder.mkdir()
            config = folder / "prometheus.yml"
            config.write_text(
                "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
                "rule_files: [rules.yml]\n"
                "scrape_configs:\n"
                "  - job_name: riskmon\n"
                f"    static_configs: [{{targets: ['{address}']}}]\n"
                + (
                    f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n"
                    if alertmanager
                    else ""
                )
            )
            (folder / "rules.yml").write_text(rules)
            port = free_port()
            process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--rules.alert.resend-delay=1s",
                ],
                stdout=subprocess.DEVNULL,
                stderr=(folder / "log").open("wb"),
            )
            stack.callback(end, process)
            server = PrometheusServer(f"http://127.0.0.1:{port}")
            await_ready(server.url, process, folder / "log")
            return server

        yield start


def lint_metrics(exposition: str) -> str:
    """What `promtool check metrics --extended` objects to; empty when the exposition is clean."""
    done = subprocess.run(
        [installed("promtool"), "check", "metrics", "--extended"],
        input=exposition,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr if done.returncode == 0 else done.stderr or f"promtool exited with {done.returncode}"


def installed(name: str) -> str:
    """Path of a program of the packages; the test fails without it."""
    path = shutil.which(name)
    if path is None:
        pytest.fail(
            f"{name} is missing: apt-get install -y --no-install-recommends prometheus prometheus-alertmanager"
        )
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def await_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server of the Prometheus family says that it is ready."""
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"{url} did not become ready: {log.read_text()[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process, by force if need be."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
