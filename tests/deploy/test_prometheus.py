"""deploy/prometheus as Prometheus itself sees it, in the places where the Compose file puts it."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import httpx
import pytest
import yaml
from support.deployment import DEPLOY, SERVICES, is_mounted, mounted_files
from support.prometheus import PrometheusServer
from support.snapshots import FACTS, FULL

from riskmon.config.publish import AuthConfig, PublishConfig
from riskmon.publish import Server, build_app

FILE = DEPLOY / "prometheus" / "prometheus.yml"
CONFIG = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def installed(name: str) -> str:
    binary = shutil.which(name)
    if binary is None:
        pytest.fail(f"{name} is missing: apt-get install -y --no-install-recommends prometheus")
    return binary


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run([installed("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def container(tmp_path) -> Path:
    """The root folder of the container, as far as it is mounted."""
    for place, path in mounted_files("prometheus").items():
        if not path.exists():
            continue  # test_compose says so
        target = tmp_path / place.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, target)
    return tmp_path


def test_promtool_accepts_it(container):
    assert "SUCCESS" in promtool("check", "config", container / "etc/prometheus/prometheus.yml")


def test_the_rules_it_names_are_there(container):
    (pattern,) = CONFIG["rule_files"]
    found = sorted(container.glob(f"etc/prometheus/{pattern}"))
    assert found, f"no file is called deploy/{pattern}"
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", *found)


def test_every_target_is_a_service_and_its_port():
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in CONFIG["scrape_configs"]}
    assert jobs["riskmon"] == ["riskmon:9108"]
    (manager,) = CONFIG["alerting"]["alertmanagers"]
    named = [target for targets in jobs.values() for target in targets]
    for target in [*named, *manager["static_configs"][0]["targets"]]:
        service, _, port = target.partition(":")
        if service != "127.0.0.1":  # Prometheus itself
            assert any(published.endswith(f":{port}") for published in SERVICES[service]["ports"])


def test_it_knows_the_password_of_the_page():
    (job,) = (job for job in CONFIG["scrape_configs"] if job["job_name"] == "riskmon")
    path = job["basic_auth"]["password_file"]
    assert is_mounted("prometheus", path)
    riskmon = yaml.safe_load((DEPLOY / "compose" / "riskmon.yaml").read_text(encoding="utf-8"))
    auth = riskmon["publish"]["auth"]
    assert job["basic_auth"] == {"username": auth["username"], "password_file": auth["password_file"]}
    assert PurePosixPath(path) == PurePosixPath("/run/secrets/page_password")


@contextmanager
def prometheus(config: str, folder: Path) -> Iterator[PrometheusServer]:
    """A real Prometheus with a configuration of the caller's."""
    (folder / "prometheus.yml").write_text(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = subprocess.Popen(
        [
            installed("prometheus"),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = PrometheusServer(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"{server.url}/-/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        process.wait(10)


def test_prometheus_scrapes_riskmon_with_it(tmp_path):
    secret = tmp_path / "page_password"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    publish = PublishConfig(auth=AuthConfig(kind="basic", username="riskmon", password_file=secret))
    app = build_app(
        lambda: FULL, lambda: replace(FACTS, version="9.8.7"), lambda: {"intake": True}, list, publish
    )
    with Server(app, "127.0.0.1:0", auth=publish.auth) as server:
        host, port = server.address
        text = FILE.read_text(encoding="utf-8").replace("riskmon:9108", f"{host}:{port}")
        text = text.replace("/run/secrets/page_password", str(secret)).replace(": 30s", ": 1s")
        text = text.replace("scrape_timeout: 10s", "scrape_timeout: 1s")
        with prometheus(text, tmp_path) as watcher:
            (row,) = watcher.wait_for('riskmon_build_info{job="riskmon"}')
            assert row["metric"]["version"] == "9.8.7"
            (up,) = watcher.query('up{job="riskmon"}')
            assert up["value"][1] == "1"
