"""The chart with a pod for each part of the work: cheap ones read, a job has the device, one publishes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from support.helm import Helm, HelmError, Manifest

from riskmon import __version__
from riskmon.config_file import parse_config

SPLIT: dict[str, Any] = {
    "roles": {"split": True},
    "store": {"kind": "postgresql", "postgresql": {"existingSecret": "riskmon-postgresql"}},
}
FULL: dict[str, Any] = SPLIT | {
    "roles": {
        "split": True,
        "intake": {"replicas": 3, "nodeSelector": {"pool": "cheap"}},
        "estimate": {"deadlineSeconds": 7200, "retries": 2, "existingClaim": "hub"},
        "publish": {"tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}}},
    },
    "models": {"existingClaim": "models"},
    "gpu": {"count": 1, "runtimeClassName": "nvidia"},
    "nodeSelector": {"gpu": "yes"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "auth": {"kind": "basic", "existingSecret": "riskmon-page"},
    "tls": {"existingSecret": "riskmon-tls"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True},
    "podLabels": {"team": "safety"},
}
DEFAULTS = {"model": {"target": "x"}, "judge": {"kind": "regex", "pattern": "x"}}
CUSTOM = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
each_case = pytest.mark.parametrize("values", [SPLIT, FULL], ids=["as it stands", "everything"])


def found(manifests: list[Manifest], kind: str, role: str | None = None) -> Manifest:
    name = f"prod-riskmon-{role}" if role else None
    (one,) = [m for m in manifests if m["kind"] == kind and name in (None, m["metadata"]["name"])]
    return one


def templates(manifests: list[Manifest]) -> dict[str, Manifest]:
    """By role, its pod with labels and annotations."""
    job = found(manifests, "CronJob")["spec"]["jobTemplate"]["spec"]
    return {
        "intake": found(manifests, "Deployment", "intake")["spec"]["template"],
        "estimate": job["template"],
        "publish": found(manifests, "Deployment", "publish")["spec"]["template"],
    }


def pods(manifests: list[Manifest]) -> dict[str, dict[str, Any]]:
    return {role: template["spec"] for role, template in templates(manifests).items()}


@each_case
@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_kubernetes_accepts_every_manifest(helm: Helm, values, version):
    manifests = helm.template(values)
    kinds = sorted(m["kind"] for m in manifests if m["kind"] in {"Deployment", "CronJob", "Service"})
    assert kinds == ["CronJob", "Deployment", "Deployment", "Service"]
    for manifest in manifests:
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_without_the_split_nothing_is_split(helm: Helm):
    manifests = helm.template({"serviceMonitor": {"enabled": True}})
    assert not {"CronJob", "PodMonitor"} & {manifest["kind"] for manifest in manifests}
    template = found(manifests, "Deployment")["spec"]["template"]
    assert "args" not in template["spec"]["containers"][0]
    assert "app.kubernetes.io/component" not in template["metadata"]["labels"]


@pytest.mark.parametrize("store", [{}, {"store": {"kind": "sqlite"}}])
def test_a_file_of_one_machine_cannot_be_where_pods_meet(helm: Helm, store):
    with pytest.raises(HelmError, match=r"roles\.split needs store\.kind postgresql: .* SQLite is a file"):
        helm.template({"roles": {"split": True}} | store)


@each_case
def test_each_pod_runs_its_role(helm: Helm, values):
    for role, pod in pods(helm.template(values)).items():
        (container,) = pod["containers"]
        once = ["--once"] if role == "estimate" else []
        assert container["args"] == ["run", "-c", "/etc/riskmon/riskmon.yaml", "--role", role, *once]
        assert ("livenessProbe" in container) == (role != "estimate")
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_only_the_job_has_the_device_and_only_while_it_runs(helm: Helm):
    made = pods(helm.template(FULL))
    limits = {role: pod["containers"][0]["resources"]["limits"] for role, pod in made.items()}
    assert limits == {"intake": {}, "estimate": {"nvidia.com/gpu": 1}, "publish": {}}
    assert {role: pod["containers"][0]["image"] for role, pod in made.items()} == {
        "intake": f"riskmon:{__version__}-cpu",
        "estimate": f"riskmon:{__version__}-cuda",
        "publish": f"riskmon:{__version__}-cpu",
    }
    assert {role: pod.get("nodeSelector") for role, pod in made.items()} == {
        "intake": {"pool": "cheap"},
        "estimate": {"gpu": "yes"},
        "publish": None,
    }
    assert [role for role, pod in made.items() if "runtimeClassName" in pod] == ["estimate"]


def test_the_job_is_one_at_a_time_and_ends(helm: Helm):
    cron = found(helm.template(FULL), "CronJob")["spec"]
    assert (cron["concurrencyPolicy"], cron["timeZone"]) == ("Forbid", "Etc/UTC")
    job = cron["jobTemplate"]["spec"]
    assert (job["activeDeadlineSeconds"], job["backoffLimit"]) == (7200, 2)
    assert job["template"]["spec"]["restartPolicy"] == "Never"
    # Exit code 2 is the user's to fix: a second try would fail likewise.
    fails = [
        rule["onExitCodes"]["values"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule
    ]
    assert fails == [[2]]


def test_a_job_may_take_as_long_as_riskmon_lets_it(helm: Helm):
    config = parse_config(DEFAULTS, base=Path())
    longest = config.estimate.deadline + config.sensitivity.deadline
    job = found(helm.template(SPLIT), "CronJob")["spec"]["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] > longest.total_seconds()


def test_the_schedule_is_that_of_riskmon(helm: Helm):
    config = parse_config(DEFAULTS, base=Path())
    assert found(helm.template(SPLIT), "CronJob")["spec"]["schedule"] == config.estimate.schedule
    own = SPLIT | {"config": {"estimate": {"schedule": "30 2 * * *"}}}
    assert found(helm.template(own), "CronJob")["spec"]["schedule"] == "30 2 * * *"


def test_readers_are_never_more_than_asked_for_and_the_publisher_is_one(helm: Helm):
    few, many = helm.template(SPLIT), helm.template(FULL)
    assert found(few, "Deployment", "intake")["spec"]["strategy"] == {"type": "Recreate"}
    intake = found(many, "Deployment", "intake")["spec"]
    assert intake["replicas"] == 3
    assert intake["strategy"]["rollingUpdate"]["maxSurge"] == 0
    shared = {"name": "RISKMON_TRAFFIC__KAFKA__ASSIGNMENT", "value": "group"}
    for manifests, roles in ((few, set()), (many, {"intake"})):
        sharing = {role for role, pod in pods(manifests).items() if shared in pod["containers"][0]["env"]}
        assert sharing == roles
    for manifests in (few, many):
        publish = found(manifests, "Deployment", "publish")["spec"]
        assert (publish["replicas"], publish["strategy"]) == (1, {"type": "Recreate"})


def test_selectors_tell_the_pods_apart(helm: Helm):
    manifests = helm.template(FULL)
    labels = {role: template["metadata"]["labels"] for role, template in templates(manifests).items()}

    def selects(selector: dict[str, str]) -> list[str]:
        return [role for role, own in labels.items() if selector.items() <= own.items()]

    service = found(manifests, "Service")
    assert selects(service["spec"]["selector"]) == ["publish"]
    assert selects(found(manifests, "PodMonitor")["spec"]["selector"]["matchLabels"]) == ["intake"]
    for role in ("intake", "publish"):
        assert selects(found(manifests, "Deployment", role)["spec"]["selector"]["matchLabels"]) == [role]
    policy = found(manifests, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selects(policy) == ["intake", "estimate", "publish"]


def test_readers_and_publisher_are_scraped_alike(helm: Helm):
    manifests = helm.template(FULL)
    (of_pods,) = found(manifests, "PodMonitor")["spec"]["podMetricsEndpoints"]
    (of_service,) = found(manifests, "ServiceMonitor")["spec"]["endpoints"]
    assert of_pods == of_service
    assert found(manifests, "PodMonitor")["spec"]["jobLabel"] == "app.kubernetes.io/name"


def test_what_is_written_is_kept_where_it_is_needed(helm: Helm):
    def data(values: dict[str, Any]) -> dict[str, str | None]:
        kept: dict[str, str | None] = {}
        for role, pod in pods(helm.template(values)).items():
            (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "data"]
            kept[role] = volume.get("persistentVolumeClaim", {}).get("claimName")
        return kept

    assert data(SPLIT) == {"intake": None, "estimate": None, "publish": "prod-riskmon"}
    assert data(FULL) == {"intake": None, "estimate": "hub", "publish": "prod-riskmon"}
    mounts = {
        role: {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        for role, pod in pods(helm.template(FULL)).items()
    }
    assert [role for role, names in mounts.items() if "models" in names] == ["estimate", "publish"]


def test_a_long_name_leaves_room_for_what_kubernetes_appends(helm: Helm):
    manifests = helm.template(SPLIT | {"fullnameOverride": "x" * 60})
    (cron,) = [manifest for manifest in manifests if manifest["kind"] == "CronJob"]
    assert len(cron["metadata"]["name"]) <= 52
    kubernetes_validate.validate(cron, "1.37", strict=True)


def test_the_notes_name_what_is_there(helm: Helm):
    settings = ("roles.split=true", "store.kind=postgresql", "store.postgresql.existingSecret=x")
    arguments = [word for setting in settings for word in ("--set", setting)]
    notes = helm.run("install", "prod", helm.chart, "--dry-run=client", *arguments).partition("NOTES:")[2]
    assert "deployment/prod-riskmon-publish -- riskmon doctor --role publish" in notes
    assert "--from=cronjob/prod-riskmon-estimate" in notes


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"intake": {"replica": 2}}, ["/roles/intake", "'replica' not allowed"]),
        ({"estimate": {"deadlineSeconds": 5}}, ["/roles/estimate/deadlineSeconds", "minimum"]),
        ({"splitt": True}, ["/roles", "'splitt' not allowed"]),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(helm: Helm, roles, words):
    with pytest.raises(HelmError) as caught:
        helm.template({"roles": roles})
    assert [word for word in words if word not in str(caught.value)] == []
