"""The Helm chart, rendered by helm: Kubernetes accepts it, riskmon accepts its configuration, and it stays closed."""

import re
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.deployment import ROOT, walk
from support.helm import CHART, Helm, Manifest

from riskmon import __version__
from riskmon.config import Config
from riskmon.config_file import load_config

OLDEST, NEWEST = "1.27", "1.37"
CUSTOM = {"ServiceMonitor", "PrometheusRule"}

FULL: dict[str, Any] = {
    "image": {"repository": "registry.example.org/riskmon", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "secrets": {"existingSecret": "riskmon-secrets"},
    "store": {"kind": "postgresql", "postgresql": {"existingSecret": "riskmon-postgresql"}},
    "models": {"existingClaim": "models"},
    "gpu": {"count": 1, "runtimeClassName": "nvidia"},
    "auth": {"kind": "basic", "existingSecret": "riskmon-page"},
    "tls": {"existingSecret": "riskmon-tls"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "monitoring",
    "podLabels": {"team": "safety"},
    "podAnnotations": {"note": "x"},
}
CASES: dict[str, dict[str, Any]] = {
    "as it stands": {},
    "everything": FULL,
    "bearer": {
        "auth": {"kind": "bearer", "existingSecret": "riskmon-page"},
        "serviceMonitor": {"enabled": True},
    },
    "without volume": {"persistence": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "claim of one's own": {
        "persistence": {"existingClaim": "old"},
        "serviceAccount": {"create": False},
        "networkPolicy": {"from": []},
    },
    "large volume": {
        "persistence": {"size": "1Ti", "storageClass": "fast"},
        "service": {"type": "NodePort", "port": 80},
        "config": {"estimate": {"samples_per_prompt": 100}, "store": {"retention": "14d"}},
    },
}
each_case = pytest.mark.parametrize("case", CASES)


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = [manifest for manifest in manifests if manifest["kind"] == kind]
    return found


def pod_of(manifests: list[Manifest]) -> dict[str, Any]:
    return one(manifests, "Deployment")["spec"]["template"]["spec"]


def container_of(manifests: list[Manifest]) -> dict[str, Any]:
    (container,) = pod_of(manifests)["containers"]
    return container


# ---- what Kubernetes, helm and riskmon say of it


@pytest.mark.parametrize(
    ("case", "version"),
    [*((case, NEWEST) for case in CASES), ("as it stands", OLDEST), ("everything", OLDEST)],
)
def test_kubernetes_accepts_every_manifest(helm: Helm, case, version):
    manifests = helm.template(CASES[case])
    assert {"Deployment", "ConfigMap", "Service"} <= {manifest["kind"] for manifest in manifests}
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_kubernetes_would_notice_a_wrong_key(helm: Helm):
    deployment = one(helm.template(), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError, match="imagePullPolice"):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


def test_the_chart_says_which_kubernetes_it_was_tried_with():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert chart["appVersion"] == __version__


def test_helm_finds_nothing_to_object_to(helm: Helm):
    assert "0 chart(s) failed" in helm.run("lint", "--strict", helm.chart)


@each_case
def test_riskmon_accepts_the_configuration(helm: Helm, case, tmp_path, monkeypatch):
    manifests = helm.template(CASES[case])
    config = read_as_the_pod_does(manifests, tmp_path, monkeypatch)
    assert config.publish.listen == "0.0.0.0:9108"
    auth = CASES[case].get("auth", {"kind": "none"})["kind"]
    assert config.publish.auth.kind == auth
    assert config.publish.auth.username == ("username of riskmon-page" if auth == "basic" else None)
    kind = CASES[case].get("store", {"kind": "sqlite"})["kind"]
    wanted = {
        "sqlite": "sqlite:////var/lib/riskmon/riskmon.db",
        "postgresql": "url of riskmon-postgresql",
    }
    assert config.store.url == wanted[kind]
    if kind == "postgresql":
        assert config.store.key is not None
        assert config.store.key.get_secret_value() == "text-key of riskmon-postgresql"


def read_as_the_pod_does(manifests: list[Manifest], folder, monkeypatch) -> Config:
    """The configuration with the Secrets of the pod laid out as files, each holding its key's and Secret's name."""
    secrets = folder / "secrets"
    secrets.mkdir()
    (volume,) = [volume for volume in pod_of(manifests)["volumes"] if volume["name"] == "secrets"]
    for source in volume["projected"]["sources"]:
        for item in source["secret"].get("items", []):
            (secrets / item["path"]).write_text(f"{item['key']} of {source['secret']['name']}")
    environment = {entry["name"]: entry["value"] for entry in container_of(manifests)["env"]}
    (mount,) = [mount for mount in container_of(manifests)["volumeMounts"] if mount["name"] == "secrets"]
    assert environment["RISKMON_SECRETS_DIR"] == mount["mountPath"]
    monkeypatch.setenv("RISKMON_SECRETS_DIR", str(secrets))
    file = folder / "riskmon.yaml"
    file.write_text(one(manifests, "ConfigMap")["data"]["riskmon.yaml"])
    config = load_config(file)
    named = (config.publish.auth.password_file, config.publish.auth.token_file, config.publish.tls.key)
    for path in filter(None, named):
        assert (secrets / path.relative_to(mount["mountPath"])).exists()
    return config


# ---- what it makes


@each_case
def test_the_pod_has_no_rights(helm: Helm, case):
    manifests = helm.template(CASES[case])
    pod, container = pod_of(manifests), container_of(manifests)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for manifest in manifests:
        if manifest["kind"] == "ServiceAccount":
            assert manifest["automountServiceAccountToken"] is False


@each_case
def test_there_is_never_a_second_pod_on_one_store(helm: Helm, case):
    spec = one(helm.template(CASES[case]), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 15


def test_a_changed_configuration_starts_a_new_pod(helm: Helm):
    def checksum(values: dict[str, Any]) -> str:
        template = one(helm.template(values), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({"nodeSelector": {"a": "b"}})
    assert checksum({}) != checksum({"config": {"estimate": {"samples_per_prompt": 100}}})


def test_a_gpu_brings_its_image_and_its_resource(helm: Helm):
    plain, with_gpu = (container_of(helm.template({"gpu": {"count": count}})) for count in (0, 1))
    assert (plain["image"], plain["resources"]["limits"]) == (f"riskmon:{__version__}-cpu", {})
    assert with_gpu["image"] == f"riskmon:{__version__}-cuda"
    assert with_gpu["resources"]["limits"] == {"nvidia.com/gpu": 1}
    by_digest = container_of(helm.template(FULL))
    assert by_digest["image"] == "registry.example.org/riskmon@sha256:" + "0" * 64


def test_probes_ask_what_they_should(helm: Helm):
    for values, scheme in (({}, "HTTP"), ({"tls": {"existingSecret": "t"}}, "HTTPS")):
        container = container_of(helm.template(values))
        asked = {
            name: (container[name]["httpGet"]["path"], container[name]["httpGet"]["scheme"])
            for name in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        # Readiness must not restart: Kafka may be away for hours.
        assert asked == {
            "startupProbe": ("/healthz", scheme),
            "livenessProbe": ("/healthz", scheme),
            "readinessProbe": ("/readyz", scheme),
        }


def test_the_network_is_closed_but_for_what_is_needed(helm: Helm):
    policy = one(helm.template(FULL), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (way_in,) = policy["ingress"]
    assert way_in["from"][0]["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": "monitoring"
    }
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 9092, 5432, 443}
    brokers = {"config": {"traffic": {"kafka": {"bootstrap_servers": ["a:9093", "b:9094"]}}}}
    policy = one(helm.template(brokers | {"networkPolicy": {"from": [], "egressPorts": []}}), "NetworkPolicy")
    assert policy["spec"]["ingress"] == []
    ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
    assert ports == {53, 9093, 9094}


def test_the_store_outlives_the_release_and_a_claim_of_ones_own_is_taken(helm: Helm):
    claim = one(helm.template(), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}

    def data(values: dict[str, Any]) -> dict[str, Any]:
        (volume,) = [v for v in pod_of(helm.template(values))["volumes"] if v["name"] == "data"]
        return volume

    assert data({})["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert data(CASES["claim of one's own"])["persistentVolumeClaim"]["claimName"] == "old"
    assert "emptyDir" in data(CASES["without volume"])


def test_prometheus_scrapes_with_the_secrets_of_the_pod_and_under_the_job_riskmon(helm: Helm):
    manifests = helm.template(FULL)
    monitor, service = one(manifests, "ServiceMonitor"), one(manifests, "Service")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["basicAuth"] == {
        "username": {"name": "riskmon-page", "key": "username"},
        "password": {"name": "riskmon-page", "key": "password"},
    }
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    wanted = monitor["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= service["metadata"]["labels"].items()
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "riskmon"
    (endpoint,) = one(helm.template(CASES["bearer"]), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "riskmon-page", "key": "token"}


def test_the_rules_of_the_repository_are_installed(helm: Helm, tmp_path):
    original = ROOT / "deploy" / "rules" / "riskmon.yaml"
    assert (CHART / "files" / "rules.yaml").resolve() == original
    assert original.is_file(), "the chart's rules are a link to deploy/rules/riskmon.yaml, which is not there"
    rule = one(helm.template({"prometheusRule": {"enabled": True}}), "PrometheusRule")
    assert rule["spec"] == yaml.safe_load(original.read_text(encoding="utf-8"))
    promtool = shutil.which("promtool")
    assert promtool is not None
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    subprocess.run([promtool, "check", "rules", file], check=True, capture_output=True)


@each_case
def test_no_manifest_holds_a_secret(helm: Helm, case):
    for manifest in helm.template(CASES[case]):
        assert manifest["kind"] != "Secret"
    for path, value in walk(one(helm.template(CASES[case]), "Deployment")):
        assert not re.search(r"password|token|api_?key", path[-1], flags=re.I) or path[-1].startswith(
            "automount"
        ), (path, value)
