"""A broker that turns the daemon away: it says why, as an error, and goes on trying; mended, it is read."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from support.kafka import Cluster
from support.kafka_door import Door, open_door
from support.store_keys import TEST_KEY

from riskmon.config import KafkaConfig, KafkaSecurity, StoreConfig, TrafficConfig
from riskmon.daemon.ending import Ending
from riskmon.daemon.following import Following
from riskmon.store import open_store

ENOUGH_S = 20.0


def test_a_refusal_is_logged_as_an_error_and_tried_again(
    kafka_broker: Cluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, [b'{"id": "1", "prompt": "hi"}', b"poison"])
    users = {"reader": "another password"}
    door = Door(int(kafka_broker.bootstrap.rsplit(":", 1)[1]), users=users)
    ending = Ending()
    with (
        open_door(door),
        open_store(StoreConfig(url=f"sqlite:///{tmp_path}/risk.db", key=TEST_KEY)) as store,
        caplog.at_level(logging.WARNING, "riskmon"),
    ):
        security = KafkaSecurity(
            protocol="SASL_PLAINTEXT", mechanism="PLAIN", username="reader", password=SecretStr("S3CRET")
        )
        kafka = KafkaConfig(
            bootstrap_servers=(door.address,), topic=topic, start="earliest", security=security
        )
        following = Following(
            TrafficConfig(kafka=kafka),
            timedelta(days=1),
            store,
            ending,
            lambda: datetime.now(UTC),
            lambda _: None,
        )
        following.start()
        try:
            deadline = time.monotonic() + ENOUGH_S
            while (status := store.snapshot(datetime.now(UTC)).traffic) is None:
                assert time.monotonic() < deadline, "the refusal was not reported"
                time.sleep(0.05)
            assert not status.up
            assert "does not let the user 'reader' in by PLAIN" in status.detail
            [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert record.getMessage() == f"{status.detail}; trying again in 1 s"

            users["reader"] = "S3CRET"
            while store.counters().consumed < 2:
                assert time.monotonic() < deadline, "reading did not go on"
                time.sleep(0.05)
        finally:
            ending.begin()
            following.join()
        assert store.counters().rejected == {"not_json": 1}
        assert store.snapshot(datetime.now(UTC)).traffic is not None
    assert "S3CRET" not in caplog.text
