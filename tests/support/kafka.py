"""A Kafka to talk to: the embedded broker noida-db, or the cluster named by RISKMON_TEST_KAFKA=host:port.

Messages are produced with confluent-kafka, a client other than the one under test.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

READY_WITHIN_S = 15.0


@dataclass
class Cluster:
    """Helpers around a running cluster."""

    bootstrap: str
    _admin: AdminClient | None = field(default=None, repr=False)

    @property
    def admin(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap})
        return self._admin

    def create_topic(self, name: str | None = None, partitions: int = 1, **config: str) -> str:
        """Create a topic (by default of a fresh name) and wait until it is there."""
        name = name or f"test-{uuid.uuid4().hex[:12]}"
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(10)
        self._await_partitions(name, partitions)
        return name

    def delete_topic(self, name: str) -> None:
        self.admin.delete_topics([name])[name].result(10)
        self._await_partitions(name, 0)

    def grow_topic(self, name: str, partitions: int) -> None:
        self.admin.create_partitions([NewPartitions(name, partitions)])[name].result(10)
        self._await_partitions(name, partitions)

    def produce(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        partition: int = 0,
        compression: str = "none",
        timestamp_ms: int = 0,
        **options: Any,
    ) -> None:
        """Produce in order to one partition, and wait until the cluster has taken it all."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": compression,
                "linger.ms": 5,
                "message.timeout.ms": 10_000,
                **options,
            }
        )
        failures: list[str] = []
        for value in values:
            producer.produce(
                topic,
                value,
                partition=partition,
                timestamp=timestamp_ms,
                on_delivery=lambda error, _message: failures.append(str(error)) if error else None,
            )
            producer.poll(0)
        left = producer.flush(15)
        assert not left, f"{left} messages were not delivered to {self.bootstrap}"
        assert not failures, failures[0]

    def _await_partitions(self, topic: str, partitions: int) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            found = self.admin.list_topics(timeout=10).topics.get(topic)
            if len(found.partitions if found else ()) == partitions:
                return
            time.sleep(0.05)
        raise AssertionError(f"topic {topic} did not come to have {partitions} partitions")


@dataclass
class EmbeddedBroker(Cluster):
    """noida-db on a port and a data folder of its own; may be stopped and started again."""

    data_dir: Path = Path()
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def port(self) -> int:
        return int(self.bootstrap.rsplit(":", 1)[1])

    def start(self) -> None:
        # The console script starts this program as a child, which would outlive a signal to the script.
        package = importlib.util.find_spec("noida_db")
        if package is None or package.origin is None:
            pytest.fail(
                "the Kafka tests need the broker noida-db: pip install 'riskmon[demo]'", pytrace=False
            )
        program = Path(package.origin).with_name("noida-db")
        program.chmod(0o755)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        where = ["--data-dir", self.data_dir, "--host", "127.0.0.1"]
        with (self.data_dir.parent / "noida-db.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "start", *where, "--only", "kafka", "--kafka-port", str(self.port)],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, f"noida-db ended with {self._process.returncode}"
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError(f"noida-db does not listen on {self.bootstrap}")

    def stop(self) -> None:
        """End the broker; SIGTERM lets it write its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._admin = None

    def damage_batch(self, topic: str, offset: int) -> None:
        """Flip the bits of one byte of the batch that begins at `offset`, as a bad disk would; while stopped."""
        assert self._process is None, "stop the broker first: it writes its file when it ends"
        file = self.data_dir / "kafka.json"
        state = json.loads(file.read_bytes())
        [[_, partition]] = dict(state["topics"])[topic]["partitions"]
        batch = dict(partition["record_batches"])[offset]
        batch[-2] ^= 0xFF
        file.write_text(json.dumps(state))


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for the whole run; tests keep apart by topic."""
    if outside := os.environ.get("RISKMON_TEST_KAFKA"):
        yield Cluster(outside)
        return
    broker = EmbeddedBroker(f"127.0.0.1:{free_port()}", data_dir=tmp_path_factory.mktemp("kafka") / "data")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def unplugged_broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    """A broker for one test, not yet started, that the test may stop and start."""
    broker = EmbeddedBroker(f"127.0.0.1:{free_port()}", data_dir=tmp_path / "kafka" / "data")
    yield broker
    broker.stop()
