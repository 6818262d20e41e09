"""The Dockerfile passes its linter, what the image is made of suffices, and its health check tells life from death."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

import pytest
import trustme
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.deployment import DEPLOY, ROOT

from riskmon.config.publish import TlsConfig
from riskmon.publish import Server

DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} +(.+)$", DOCKERFILE, flags=re.M)


def test_the_linter_finds_nothing_to_object_to():
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_a_user_without_rights_and_writes_to_volumes_alone():
    last = DOCKERFILE.split("\nFROM ")[-1]
    (user,) = re.findall(r"^USER +(\S+)$", last, flags=re.M)
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert instructions("VOLUME") == ['["/var/lib/riskmon", "/models", "/reports"]']
    environment = dict(re.findall(r"\b([A-Z_]+)=(/\S+)", instructions("ENV")[-1]))
    writable = ("/var/lib/riskmon", "/models", "/reports", "/tmp")
    caches = {key: path for key, path in environment.items() if key != "PATH"}
    assert set(caches) >= {"HOME", "HF_HOME", "XDG_CACHE_HOME"}
    assert [key for key, path in caches.items() if not path.startswith(writable)] == []


def test_every_base_is_pinned_and_every_package_constrained():
    (python,) = re.findall(r"^ARG PYTHON=(.+)$", DOCKERFILE, flags=re.M)
    assert re.fullmatch(r"3\.\d+\.\d+-slim-\w+", python)
    stages = {line.split()[-1] for line in instructions("FROM")}
    for base in (line.split()[0] for line in instructions("FROM")):
        assert base == "python:${PYTHON}" or base.replace("${VARIANT}", "cpu") in stages
    assert {"torch-cpu", "torch-cuda"} <= stages
    for install in re.findall(r"pip install (.*?)(?:&&|$)", DOCKERFILE, flags=re.M):
        assert "constraints.txt" in install or "--no-deps" in install


def ignored(path: PurePosixPath) -> bool:
    """Docker's reading of .dockerignore: the last pattern that fits a path or a folder above it decides."""
    verdict = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        fits = any(
            fnmatch.fnmatchcase(str(part), pattern)
            if not pattern.startswith("**/")
            else fnmatch.fnmatchcase(part.name, pattern[3:])
            for part in (path, *path.parents[:-1])
        )
        verdict = not line.startswith("!") if fits else verdict
    return verdict


def test_the_image_is_made_of_the_package_and_nothing_else(tmp_path):
    context = tmp_path / "context"
    # A folder that is left out as a whole need not be walked: .venv has tens of thousands of files.
    walked = [
        file
        for top in ROOT.iterdir()
        if top.name in {"deploy", "riskmon"} or not (top.is_dir() and ignored(PurePosixPath(top.name)))
        for file in (top, *top.rglob("*"))
    ]
    for file in walked:
        name = PurePosixPath(file.relative_to(ROOT))
        if file.is_file() and not ignored(name):
            target = context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
    assert {path.name for path in context.iterdir()} == {
        *("LICENSE", "README.md", "constraints.txt", "deploy", "pyproject.toml", "riskmon")
    }
    assert [path.name for path in (context / "deploy").iterdir()] == ["healthcheck.py"]
    for line in instructions("COPY"):
        *sources, _ = (word for word in line.split() if not word.startswith("--"))
        assert "--from" in line or all((context / source).exists() for source in sources)
    wheel = build_wheel(context, tmp_path)
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "riskmon").rglob("*.j2")}
    assert wanted
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())


def build_wheel(context: Path, folder: Path) -> Path:
    """As the image does it, with the setuptools that is here."""
    script = "import sys, setuptools.build_meta as build; print(build.build_wheel(sys.argv[1]))"
    subprocess.run(
        [sys.executable, "-c", script, folder], cwd=context, check=True, capture_output=True, timeout=120
    )
    (wheel,) = folder.glob("riskmon-*.whl")
    return wheel


# ---- the health check, as Docker runs it


def healthcheck(url: str, **environment: str) -> int:
    return subprocess.run(
        [sys.executable, DEPLOY / "healthcheck.py"],
        env={"PATH": os.environ["PATH"], "HEALTH_URL": url, **environment},
        check=False,
        timeout=30,
    ).returncode


@pytest.fixture
def app() -> Starlette:
    return Starlette(
        routes=[
            Route("/healthz", lambda _: PlainTextResponse("alive")),
            Route("/dead", lambda _: PlainTextResponse("dead", 503)),
        ]
    )


def test_the_health_check_tells_life_from_death(app):
    with Server(app, "127.0.0.1:0") as server:
        url = server.url
        assert healthcheck(f"{url}/healthz") == 0
        assert healthcheck(f"{url}/healthz", http_proxy="http://127.0.0.1:1") == 0
        assert healthcheck(f"{url}/dead") == 1
    assert healthcheck(f"{url}/healthz") == 1


def test_the_health_check_takes_a_certificate_for_another_name(app, tmp_path):
    own = trustme.CA().issue_cert("riskmon.example.org")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    own.private_key_pem.write_to_path(key)
    with Server(app, "127.0.0.1:0", tls=TlsConfig(certificate=certificate, key=key)) as server:
        assert healthcheck(f"{server.url}/healthz") == 0
