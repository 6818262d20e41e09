"""The Compose file of the roles, laid over that of the whole: each part runs once, and they meet in PostgreSQL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.deployment import COMPOSE, DEPLOY, SERVICES

from riskmon.config_file import load_config


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    return content


ROLES = read("compose.roles.yaml")
GPU = read("compose.roles-gpu.yaml")
# Services of their own; of the others the file adds to what compose.yaml says.
NEW = {name: service for name, service in ROLES["services"].items() if name not in SERVICES}
PARTS = {name: service for name, service in ROLES["services"].items() if "command" in service}


def role_of(service: dict[str, Any]) -> str:
    assert service["command"][:-1] == ["run", "-c", "/etc/riskmon/riskmon.yaml", "--role"]
    role: str = service["command"][-1]
    return role


def test_every_role_runs_once_and_the_publisher_keeps_its_name():
    assert sorted(role_of(service) for service in PARTS.values()) == ["estimate", "intake", "publish"]
    assert role_of(PARTS["riskmon"]) == "publish"
    assert set(NEW) == {"postgres", "intake", "estimate"}


@pytest.mark.parametrize("name", NEW)
def test_a_new_service_is_closed_and_pinned(name):
    service = NEW[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service
    assert re.fullmatch(r"[\w./-]+:\d+\.\d+(\.\d+)?(-\w+)?", service["image"])


def test_all_parts_get_the_store_and_its_key_as_files():
    for service in PARTS.values():
        targets = {secret["target"] for secret in service["secrets"] if isinstance(secret, dict)}
        assert targets >= {"RISKMON_STORE__URL", "RISKMON_STORE__KEY"}
        assert "postgres" in service["depends_on"]
    named = {
        secret if isinstance(secret, str) else secret["source"]
        for service in ROLES["services"].values()
        for secret in service.get("secrets", [])
    }
    assert named <= {*ROLES["secrets"], *COMPOSE["secrets"]}


def test_the_url_of_the_script_is_the_database_that_is_made():
    postgres = NEW["postgres"]["environment"]
    script = (DEPLOY / "secrets.sh").read_text(encoding="utf-8")
    (user, name) = re.findall(r"psycopg://(\w+):\$\(.*\)@postgres:5432/(\w+)", script)[0]
    assert (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"]) == (user, name)
    assert postgres["POSTGRES_PASSWORD_FILE"] == "/run/secrets/store_password"


def test_riskmon_takes_the_store_from_the_secrets(tmp_path, monkeypatch):
    (tmp_path / "RISKMON_STORE__URL").write_text("postgresql+psycopg://riskmon:x@postgres:5432/riskmon\n")
    (tmp_path / "RISKMON_STORE__KEY").write_text("cmlza21vbiB0ZXN0cyB1c2UgdGhpcyBvbmUga2V5ISE=\n")
    monkeypatch.setenv("RISKMON_SECRETS_DIR", str(tmp_path))
    config = load_config(DEPLOY / "compose" / "riskmon.yaml")
    assert config.store.url.startswith("postgresql+psycopg://")
    assert config.store.key is not None


def test_what_a_read_only_part_writes_is_in_a_volume_or_in_memory():
    for name in ("intake", "estimate"):
        service = PARTS[name]
        assert service["read_only"] is True
        places = [*service["tmpfs"], *(volume.split(":")[1] for volume in service["volumes"])]
        written = {"/var/lib/riskmon", "/models"} if name == "estimate" else set()
        assert {"/tmp", "/etc/riskmon/riskmon.yaml"} | written == set(places)
    volumes = [volume for service in ROLES["services"].values() for volume in service.get("volumes", [])]
    for source in (volume.split(":")[0] for volume in volumes):
        if source.startswith("."):
            assert (DEPLOY / source).exists()
        else:
            assert source in {**ROLES["volumes"], **COMPOSE["volumes"]}


def test_prometheus_is_told_of_the_parts_under_the_job_and_login_of_the_publisher():
    (job,) = (
        job for job in read("prometheus/prometheus.yml")["scrape_configs"] if job["job_name"] == "riskmon"
    )
    (pattern,) = job["file_sd_configs"][0]["files"]
    (volume,) = ROLES["services"]["prometheus"]["volumes"]
    source, place, mode = volume.split(":")
    assert Path(place).match(f"/etc/prometheus/{pattern}")
    assert mode == "ro"
    (group,) = read(source)
    assert {target.partition(":")[0] for target in group["targets"]} == set(PARTS) - {"riskmon"}


def test_the_device_goes_to_the_estimate_alone():
    (service,) = GPU["services"].values()
    assert set(GPU["services"]) == {"estimate"}
    assert service["image"].endswith("-cuda")
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"
