"""What the Helm chart refuses, and what it says: wrong values end in a sentence, open doors in a warning."""

import re

import pytest
import yaml
from support.helm import CHART, Helm, HelmError


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gpu": {"counts": 1}}, ["/gpu", "'counts' not allowed"]),
        ({"gpu": {"count": "two"}}, ["/gpu/count", "got string, want integer"]),
        ({"gpu": {"count": 2}}, ["/gpu/count", "maximum: got 2, want 1"]),
        ({"replicas": 2}, ["'replicas' not allowed"]),
        ({"store": {"kind": "mysql"}}, ["/store/kind", "'sqlite', 'postgresql'"]),
        ({"persistence": {"size": "big"}}, ["/persistence/size", "'big' does not match"]),
        ({"config": {"traffic": "kafka"}}, ["/config/traffic", "want object"]),
        ({"image": {"tag": "latest"}}, ["image.tag latest", "name a version"]),
        ({"store": {"kind": "postgresql"}}, ["needs store.postgresql.existingSecret"]),
        ({"auth": {"kind": "basic"}}, ["needs auth.existingSecret", "username and password"]),
        ({"auth": {"kind": "bearer"}}, ["needs auth.existingSecret", "the key token"]),
        ({"config": {"publish": {"listen": "127.0.0.1:1"}}}, ["config.publish is set by the chart"]),
        ({"config": {"store": {"url": "sqlite://"}}}, ["config.store.url is set by the chart"]),
        (
            {"config": {"traffic": {"kafka": {"security": {"password": "hunter2"}}}}},
            ["is a secret", "RISKMON_TRAFFIC__KAFKA__SECURITY__PASSWORD"],
        ),
        (
            {
                "roles": {"split": True, "intake": {"replicas": 2}},
                "store": {"kind": "postgresql", "postgresql": {"existingSecret": "x"}},
                "config": {"traffic": {"kafka": {"mode": "seek"}}},
            },
            ["mode seek reads a sample in one process", "roles.intake.replicas to 1"],
        ),
        ({"config": {"report": {"webhook": {"url": "https://hunter2"}}}}, ["RISKMON_REPORT__WEBHOOK__URL"]),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence(helm: Helm, values, words):
    with pytest.raises(HelmError) as caught:
        helm.template(values)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "hunter2" not in str(caught.value)


def test_the_notes_warn_of_what_is_open(helm: Helm):
    def notes(*settings: str) -> str:
        arguments = [word for setting in settings for word in ("--set", setting)]
        return helm.run("install", "prod", helm.chart, "--dry-run=client", *arguments).partition("NOTES:")[2]

    assert notes().count("WARNING") == 2
    assert "auth.kind is none" in notes()
    closed = notes("auth.kind=basic", "auth.existingSecret=a", "secrets.existingSecret=b")
    assert "WARNING" not in closed
    assert "persistence is off" in notes("persistence.enabled=false")


def test_every_value_is_in_the_readme_with_its_default():
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `([\w.]+)` \|", readme, flags=re.M))
    leaves = {
        key if key == "config" or not isinstance(inner, dict) or not inner else f"{key}.{name}"
        for key, inner in values.items()
        for name in (inner if isinstance(inner, dict) and inner and key != "config" else [None])
    }
    assert rows == leaves
