"""All files of deploy/ together: no secret in any, no image that moves, and nothing that listens to the world."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.deployment import DEPLOY, ROOT, walk

from riskmon.config.traffic import TrafficConfig

SECRET = re.compile(
    r"(password|passwd|secret|token|api_?key|sample_key|routing_key|slack_api_url)$", flags=re.I
)
LISTENS = re.compile(r"\b0\.0\.0\.0:\d+|\[::\]:\d+")


def kept_files() -> list[Path]:
    """What is, or will be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "."],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [DEPLOY / name for name in listed.split("\0") if name and (DEPLOY / name).is_file()]


FILES = kept_files()


def values_of(path: Path) -> Iterator[tuple[str, str]]:
    """Key and value of every setting of a file, of whatever kind it is."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in {".yaml", ".yml", ".json"} and "templates" not in path.parts:
        for document in yaml.safe_load_all(text):
            yield from ((keys[-1] if keys else "", str(value or "")) for keys, value in walk(document))
    else:
        yield from re.findall(r"([\w.-]+) ?[=:] ?[\"']?([^\s\"',}]*)", text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_file_holds_a_secret(path):
    public = TrafficConfig.model_fields["sample_key"].default.get_secret_value()
    for key, value in values_of(path):
        if SECRET.search(key) and value not in {"", "true", "false", public}:
            # A path or an expression says where the secret is.
            assert re.match(r"(/|\./|\{|\$)", value), f"{path.name}: {key}"


def test_a_secret_would_be_found(tmp_path):
    for name, text in (
        ("a.yaml", "x: [{smtp: {password: hunter2}}]"),
        ("Dockerfile", "ENV API_KEY=hunter2\n"),
    ):
        file = tmp_path / name
        file.write_text(text)
        with pytest.raises(AssertionError):
            test_no_file_holds_a_secret(file)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_no_image_moves(path):
    assert not re.search(r"[\w}]:latest\b", path.read_text(encoding="utf-8"))


def test_only_containers_listen_beyond_this_machine():
    found = {
        str(path.relative_to(DEPLOY))
        for path in FILES
        if path.suffix != ".md" and LISTENS.search(path.read_text(encoding="utf-8"))
    }
    assert found == {"compose/riskmon.yaml", "helm/riskmon/templates/_helpers.tpl"}
    guide = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert "In a container it must listen on 0.0.0.0" in guide
