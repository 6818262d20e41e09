import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from riskmon.config import KafkaConfig
from riskmon.demo.broker import HOST, free_port, is_free, start_broker
from riskmon.demo.children import Child
from riskmon.demo.feed import TOPIC, Feed
from riskmon.demo.traffic import Traffic
from riskmon.errors import TrafficUnavailable
from riskmon.traffic.kafka import KafkaSource

NOON = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_what_is_fed_can_be_read_and_the_broker_leaves_no_process(tmp_path: Path) -> None:
    messages = Traffic(seed=2).messages(NOON - timedelta(hours=1), NOON)
    assert len(messages) > 400
    broker, address = start_broker(tmp_path)
    with broker:
        with Feed(address) as feed:
            feed.send(messages[:300])
            feed.send(messages[300:])
            assert feed.sent == len(messages)
        source = KafkaSource(KafkaConfig(bootstrap_servers=(address,), topic=TOPIC, start="earliest"))
        source.start({})
        source.mark_end()
        read = []
        while not source.caught_up():
            read += [message for batch in source.poll(5_000, 1.0) for message in batch]
        source.close()

    assert sorted(message.value or b"" for message in read) == sorted(messages)
    assert {message.position.partition for message in read} == {0, 1}
    assert _gone(broker.pid)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((HOST, int(address.rsplit(":")[-1])), timeout=1)


def test_an_error_inside_the_block_ends_the_broker_too(tmp_path: Path) -> None:
    broker, _ = start_broker(tmp_path)
    with pytest.raises(KeyError), broker:
        raise KeyError("a fault of the tour")
    assert _gone(broker.pid)


def test_a_broker_that_is_away_is_named(tmp_path: Path) -> None:
    broker, address = start_broker(tmp_path)
    with broker, Feed(address, timeout_s=1) as feed:
        broker.stop()
        with pytest.raises(TrafficUnavailable, match=address):
            feed.send([b"{}"])


def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    stubborn = Child(["sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 0.1; done"], log, grace_s=0.5)
    while "deaf" not in stubborn.last_words():
        assert stubborn.exit_code is None
    assert stubborn.stop() == -9
    assert _gone(stubborn.pid)


def test_a_child_does_not_inherit_settings_of_a_real_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKMON_STORE__URL", "postgresql+psycopg://production/riskmon")
    monkeypatch.setenv("OTHER", "kept")
    child = Child(["sh", "-c", "env"], tmp_path / "env.log", env={"ADDED": "1"}, grace_s=1)
    while child.exit_code is None:
        pass
    lines = child.last_words(1_000).splitlines()

    assert not [line for line in lines if line.startswith("RISKMON_")]
    assert {"OTHER=kept", "ADDED=1"} <= set(lines)


def test_a_port_in_use_is_not_free() -> None:
    port = free_port()
    assert is_free(port)
    with socket.create_server((HOST, port)):
        assert not is_free(port)
