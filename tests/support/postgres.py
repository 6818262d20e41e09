"""A throw-away PostgreSQL server for the tests, and a fresh database on it for each test that asks.

The server listens on a free port of 127.0.0.1, keeps nothing, and never syncs to disk. PostgreSQL refuses to run as
root, so there it runs as the user `postgres` that its package makes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

_START_S = 30


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """SQLAlchemy URL of a running server, without a database name."""
    binaries = _binaries()
    user = "postgres" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="riskmon-postgres-") as folder:
        if user is not None:
            _give_to(Path(folder), user)
        data = Path(folder) / "data"
        subprocess.run(
            [binaries / "initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"],
            check=True,
            user=user,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        port = _free_port()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            # Another zone than UTC, so that a datetime which depends on the session's zone is found out.
            "timezone": "Asia/Kathmandu",
        }
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", data, *options],
                user=user,
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(server, port, Path(folder) / "log")
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}"
        finally:
            # SIGQUIT is an immediate shutdown: there is nothing to save.
            server.send_signal(signal.SIGQUIT)
            server.wait(timeout=_START_S)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """SQLAlchemy URL of an empty database of its own, dropped after the test."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(_libpq(postgres_server), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield f"{postgres_server}/{name}"
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _libpq(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://") + "/postgres"


def _binaries() -> Path:
    found = [Path(path).parent for path in (shutil.which("initdb"),) if path]
    if config := shutil.which("pg_config"):
        answer = subprocess.run([config, "--bindir"], check=True, capture_output=True, text=True)
        found.append(Path(answer.stdout.strip()))
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))[::-1]
    for folder in found:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    pytest.fail("the tests need PostgreSQL's server; install it with: apt-get install postgresql")


def _give_to(folder: Path, user: str) -> None:
    try:
        shutil.chown(folder, user)
    except LookupError:
        pytest.fail(
            f"as root the tests run PostgreSQL as the user {user!r}, which its package makes; install it"
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=postgres dbname=postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
