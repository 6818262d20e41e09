"""deploy/prometheus as Prometheus itself sees it, in the places where the Compose file puts it."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
import yaml
from support.deployment import DEPLOY, SERVICES, is_mounted, mounted_files
from support.prometheus import StartPrometheus
from support.snapshots import FACTS, FULL

from riskmon.config.publish import AuthConfig, PublishConfig
from riskmon.publish import Server, build_app

FILE = DEPLOY / "prometheus" / "prometheus.yml"
CONFIG = yaml.safe_load(FILE.read_text(encoding="utf-8"))


def promtool(*arguments: str | Path) -> str:
    binary = shutil.which("promtool")
    if binary is None:
        pytest.fail("promtool is missing: apt-get install -y --no-install-recommends prometheus")
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
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


def test_prometheus_scrapes_riskmon_with_it(container, tmp_path, prometheus: StartPrometheus):
    secret = tmp_path / "page_password"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    publish = PublishConfig(auth=AuthConfig(kind="basic", username="riskmon", password_file=secret))
    facts = replace(FACTS, version="9.8.7")
    app = build_app(lambda: FULL, facts, lambda: {"intake": True}, list, publish)
    with Server(app, "127.0.0.1:0", auth=publish.auth) as server:
        host, port = server.address
        text = FILE.read_text(encoding="utf-8").replace("riskmon:9108", f"{host}:{port}")
        text = text.replace("/run/secrets/page_password", str(secret)).replace(": 30s", ": 1s")
        text = text.replace("scrape_timeout: 10s", "scrape_timeout: 1s")
        watcher = prometheus(f"{host}:{port}", config=text)
        (row,) = watcher.wait_for('riskmon_build_info{job="riskmon"}')
        assert row["metric"]["version"] == "9.8.7"
        (up,) = watcher.query('up{job="riskmon"}')
        assert up["value"][1] == "1"
