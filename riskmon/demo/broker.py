"""The embedded broker: noida-db, a small server that speaks the Kafka protocol, on a port of 127.0.0.1.

Its program is started directly. The console script of its package starts the program as a child of its own, which
would outlive a signal to the script.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from pathlib import Path

from riskmon.demo.children import Child
from riskmon.errors import TrafficUnavailable, UserError

HOST = "127.0.0.1"
_READY_WITHIN_S = 15.0
_GRACE_S = 5.0


def start_broker(folder: Path) -> tuple[Child, str]:
    """Start the broker with its data and its log in `folder`, and wait until it listens.

    Returns:
        The process, and its address as `host:port`.

    Raises:
        UserError: the package is not installed.
        TrafficUnavailable: it does not start.
    """
    program = find_program()
    data = folder / "kafka"
    data.mkdir()
    port = free_port()
    broker = Child(
        [program, "start", "--data-dir", data, "--host", HOST, "--only", "kafka", "--kafka-port", str(port)],
        folder / "broker.log",
        grace_s=_GRACE_S,
    )
    try:
        _await_listening(broker, port)
    except BaseException:
        broker.stop()
        raise
    return broker, f"{HOST}:{port}"


def find_program() -> Path:
    """The broker's program.

    Raises:
        UserError: the package is not installed.
    """
    package = importlib.util.find_spec("noida_db")
    if package is None or package.origin is None:
        raise UserError("the demo needs the broker noida-db: pip install 'riskmon[demo]'")
    program = Path(package.origin).with_name("noida-db")
    if not os.access(program, os.X_OK):  # a wheel may lose the mode
        program.chmod(0o755)
    return program


def free_port() -> int:
    """A TCP port of 127.0.0.1 on which nobody listens at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _await_listening(broker: Child, port: int) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline and broker.exit_code is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TrafficUnavailable(f"the embedded broker does not start: {broker.last_words() or 'no output'}")
