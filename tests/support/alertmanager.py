"""A real Alertmanager, with the routes and inhibitions of deploy/ and receivers of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from support.prometheus import await_ready, end, free_port, installed

DEPLOYED = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yaml"


@dataclass(frozen=True)
class AlertmanagerServer:
    """A running Alertmanager."""

    address: str

    def alerts(self, **labels: str) -> list[dict[str, Any]]:
        """Active alerts with these labels, inhibited ones among them."""
        answer = httpx.get(
            f"http://{self.address}/api/v2/alerts",
            params={"filter": [f'{name}="{value}"' for name, value in labels.items()]},
        )
        answer.raise_for_status()
        found: list[dict[str, Any]] = answer.json()
        return found


StartAlertmanager = Callable[[dict[str, str]], AlertmanagerServer]


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[StartAlertmanager]:
    """Start an Alertmanager that posts what goes to a receiver to the address given for it, without waiting."""
    binary = installed("prometheus-alertmanager")
    with ExitStack() as stack:

        def start(addresses: dict[str, str]) -> AlertmanagerServer:
            folder = tmp_path / "alertmanager"
            folder.mkdir()
            (folder / "alertmanager.yml").write_text(yaml.safe_dump(_redirected(addresses)))
            port = free_port()
            process = subprocess.Popen(
                [
                    binary,
                    f"--config.file={folder / 'alertmanager.yml'}",
                    f"--storage.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--cluster.listen-address=",
                ],
                stdout=subprocess.DEVNULL,
                stderr=(folder / "log").open("wb"),
            )
            stack.callback(end, process)
            await_ready(f"http://127.0.0.1:{port}", process, folder / "log")
            return AlertmanagerServer(f"127.0.0.1:{port}")

        yield start


def _redirected(addresses: dict[str, str]) -> dict[str, Any]:
    """The deployed configuration with webhooks in place of its receivers."""
    config: dict[str, Any] = yaml.safe_load(DEPLOYED.read_text(encoding="utf-8"))
    del config["global"]["slack_api_url_file"]
    for route in (config["route"], *config["route"]["routes"]):
        route.update(group_wait="1s", group_interval="1s")
    config["receivers"] = [
        {"name": receiver["name"]}
        | (
            {"webhook_configs": [{"url": addresses[receiver["name"]], "send_resolved": True}]}
            if receiver["name"] in addresses
            else {}
        )
        for receiver in config["receivers"]
    ]
    return config
