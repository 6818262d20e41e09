"""The Compose file: valid, pinned, closed to other machines, and everything it mounts fits together."""

import base64
import json
import os
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path, PurePosixPath

import jsonschema
import pytest
import yaml
from support.deployment import COMPOSE, DEPLOY, SERVICES, is_mounted, mounted_files, mounts, walk

from riskmon.config_file import load_config

COMPOSE_FILES = sorted(DEPLOY.glob("compose*.yaml"))
ROLES = yaml.safe_load((DEPLOY / "compose.roles.yaml").read_text(encoding="utf-8"))
ALL_SECRETS = [*COMPOSE["secrets"].values(), *ROLES["secrets"].values()]
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def config(monkeypatch):
    for name in [name for name in os.environ if name.startswith("RISKMON_")]:
        monkeypatch.delenv(name)
    return load_config(DEPLOY / "compose" / "riskmon.yaml")


@pytest.mark.parametrize("file", COMPOSE_FILES, ids=lambda file: file.name)
def test_the_specification_of_compose_accepts_it(file):
    vendored = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema = json.loads(vendored.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(file.read_text(encoding="utf-8")))


def test_the_stack_is_whole():
    assert set(SERVICES) == {"kafka", "topic", "riskmon", "prometheus", "alertmanager", "grafana"}
    names = {"compose.yaml", "compose.gpu.yaml", "compose.roles.yaml", "compose.roles-gpu.yaml"}
    assert {path.name for path in COMPOSE_FILES} == names


@each_service
def test_every_image_is_pinned(service):
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-\w+)?", SERVICES[service]["image"])


@each_service
def test_ports_are_open_to_this_machine_alone(service):
    for port in SERVICES[service].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@each_service
def test_no_service_can_gain_rights(service):
    assert SERVICES[service]["cap_drop"] == ["ALL"]
    assert SERVICES[service]["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in SERVICES[service]


@each_service
def test_everything_mounted_exists_and_is_read_only(service):
    for place, path in mounted_files(service).items():
        assert path.exists(), f"{path} is mounted at {place} and is not there"
    for volume in SERVICES[service].get("volumes", []):
        source, _, *mode = volume.split(":")
        if source.startswith("."):
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_every_path_a_service_is_told_of_is_mounted(service):
    told = [str(word) for word in (SERVICES[service].get("command") or [])]
    told += [str(value) for value in SERVICES[service].get("environment", {}).values()]
    for path in re.findall(r"(?:^|=)(/(?:etc|run|var/lib)/\S+)", "\n".join(told), flags=re.M):
        if path == "/run/secrets":
            assert any(place.is_relative_to(path) for _, place in mounts(service))
            continue
        assert is_mounted(service, path), f"{service} is told of {path}, which nothing is mounted at"
        for place, source in mounted_files(service).items():
            if PurePosixPath(path).is_relative_to(place):
                file = source / PurePosixPath(path).relative_to(place)
                assert file.exists(), f"{service} is told of {path}, and {file} is not there"


def test_alertmanager_is_given_the_secrets_it_reads():
    file = mounted_files("alertmanager")[PurePosixPath("/etc/alertmanager/alertmanager.yaml")]
    named = [
        str(value)
        for path, value in walk(yaml.safe_load(file.read_text(encoding="utf-8")))
        if path[-1].endswith("_file")
    ]
    assert [path for path in named if not is_mounted("alertmanager", path)] == []


def test_the_default_dashboard_is_there():
    home = PurePosixPath(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (mounted_files("grafana")[home.parent] / home.name).is_file()


def test_grafana_finds_prometheus_and_the_dashboards():
    provisioning = mounted_files("grafana")[PurePosixPath("/etc/grafana/provisioning")]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert "prometheus" in SERVICES
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "riskmon.yaml").read_text())["providers"]
    dashboards = mounted_files("grafana")[PurePosixPath(provider["options"]["path"])]
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in dashboards.glob("*.json")]
    assert boards
    assert len({board["uid"] for board in boards}) == len(boards)


def test_riskmon_reads_the_topic_that_the_stack_makes(config):
    (server,) = config.traffic.kafka.bootstrap_servers
    assert f"NETWORK://{server}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"--topic={config.traffic.kafka.topic}" in SERVICES["topic"]["command"]
    assert f"--bootstrap-server={server}" in SERVICES["topic"]["command"]


def test_clients_of_this_machine_are_sent_to_the_published_port():
    (port,) = SERVICES["kafka"]["ports"]
    address, _, inner = port.rpartition(":")
    assert f"MACHINE://{address}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"MACHINE://:{inner}" in SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]


def test_riskmon_listens_beyond_its_container_and_asks_for_a_password(config):
    # Loopback would be the container's own, which no published port and no other container reaches.
    assert config.publish.listen == "0.0.0.0:9108"
    assert config.publish.auth.kind == "basic"
    assert is_mounted("riskmon", str(config.publish.auth.password_file))


def test_what_riskmon_writes_is_in_volumes(config):
    volumes = [place for source, place in mounts("riskmon") if not source.startswith(".")]
    written = [config.store.url.removeprefix("sqlite:///"), config.calibrate.folder, config.publish.reports]
    for path in map(PurePosixPath, written):
        assert any(path.is_relative_to(place) for place in volumes), path
    assert SERVICES["riskmon"]["read_only"] is True


def test_the_stop_waits_for_the_drain():
    assert SERVICES["riskmon"]["stop_grace_period"] == "30s"


def test_the_script_makes_the_secrets_once_and_closes_them(tmp_path):
    script = shutil.copy(DEPLOY / "secrets.sh", tmp_path)
    subprocess.run(["sh", script], check=True, capture_output=True)
    folder = tmp_path / "secrets"
    wanted = {Path(secret["file"]).name for secret in ALL_SECRETS}
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == wanted
    random = [made[name] for name in wanted if name.endswith(("password", "sample_key"))]
    assert len(set(random)) == len(random) == 4
    assert all(re.fullmatch(r"[0-9a-f]{48}", value) for value in random)
    assert (
        made["store_url"] == f"postgresql+psycopg://riskmon:{made['store_password']}@postgres:5432/riskmon\n"
    )
    assert len(base64.b64decode(made["store_key"], validate=False)) == 32
    assert folder.stat().st_mode & 0o777 == 0o700
    own = {"page_password": "of my own", "slack-url": "https://hooks.example.org"}
    for name, value in own.items():
        (folder / name).write_text(value)
    subprocess.run(["sh", script], check=True, capture_output=True)
    again = {path.name: path.read_text() for path in folder.iterdir()}
    assert again == made | own


def test_git_leaves_the_secrets_out():
    for secret in ALL_SECRETS:
        path = DEPLOY / secret["file"]
        done = subprocess.run(["git", "check-ignore", "-q", path], cwd=DEPLOY, check=False)
        assert done.returncode == 0, f"{path} could be committed"
