"""The Kafka source against a real broker, fed by another client."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from pydantic import SecretStr
from support.kafka import Cluster, EmbeddedBroker, free_port

from riskmon.config import KafkaConfig, KafkaSecurity
from riskmon.errors import ConfigError, TrafficRefused, TrafficUnavailable
from riskmon.records import Position
from riskmon.traffic.kafka import KafkaSource
from riskmon.traffic.kafka.client import client_options
from riskmon.traffic.source import RawBatch, RawMessage

NOW = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
ENOUGH_S = 20.0

OpenSource = Callable[..., KafkaSource]


@pytest.fixture(params=["kafka-python", "confluent"])
def open_kafka(request: pytest.FixtureRequest) -> Iterator[OpenSource]:
    """Makes sources that read with either library, and closes them at the end."""
    opened: list[KafkaSource] = []

    def make(
        cluster: Cluster | str, topic: str, start: str = "earliest", group: str = "", **options: Any
    ) -> KafkaSource:
        servers = cluster if isinstance(cluster, str) else cluster.bootstrap
        settings = {"bootstrap_servers": (servers,), "topic": topic, "start": start, "client": request.param}
        config = KafkaConfig.model_validate(settings | ({"group_id": group} if group else {}))
        opened.append(KafkaSource(config, **options))
        return opened[-1]

    yield make
    for source in opened:
        source.close()


def read(source: KafkaSource, count: int) -> list[RawMessage]:
    """At least `count` messages, over polls."""
    messages: list[RawMessage] = []
    deadline = time.monotonic() + ENOUGH_S
    while len(messages) < count:
        assert time.monotonic() < deadline, f"only {len(messages)} of {count} messages came"
        messages += all_of(source.poll(1000, 0.2))
    return messages


def all_of(batches: Iterable[RawBatch]) -> list[RawMessage]:
    return [message for batch in batches for message in batch]


def numbered(first: int, last: int) -> list[bytes]:
    return [b"message %d" % n for n in range(first, last)]


def test_reads_every_partition_and_codec_in_order(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    topic = kafka_broker.create_topic(partitions=4, **{"retention.ms": "-1"})  # the messages are years old
    sent = {0: numbered(0, 30), 1: numbered(100, 120), 2: numbered(200, 210), 3: numbered(300, 301)}
    for partition, codec in enumerate(["gzip", "snappy", "lz4", "zstd"]):
        kafka_broker.produce(
            topic, sent[partition], partition=partition, compression=codec, timestamp_ms=1_700_000_000_123
        )
    source = open_kafka(kafka_broker, topic)
    source.start({})

    messages = read(source, 61)

    got = {p: [m.value for m in messages if m.position.partition == p] for p in sent}
    assert got == sent
    assert {m.timestamp for m in messages} == {datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)}
    assert messages[0].position.topic == topic
    assert source.next_offsets() == {0: 30, 1: 20, 2: 10, 3: 1}


def test_a_tombstone_is_a_message_without_a_value(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, [b"a", None, b""])
    source = open_kafka(kafka_broker, topic)
    source.start({})
    assert [m.value for m in read(source, 3)] == [b"a", None, b""]


def test_resumes_at_the_stored_offsets(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 10), partition=0)
    kafka_broker.produce(topic, numbered(0, 5), partition=1)
    source = open_kafka(kafka_broker, topic, start="latest")
    source.start({0: 7, 1: 0})
    assert sorted(m.position for m in read(source, 8)) == [
        *(Position(topic, 0, n) for n in (7, 8, 9)),
        *(Position(topic, 1, n) for n in range(5)),
    ]


def test_latest_begins_at_the_end_and_says_so_before_the_first_message(
    kafka_broker: Cluster, open_kafka: OpenSource
) -> None:
    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 3), partition=1)
    crashed = open_kafka(kafka_broker, topic, start="latest")
    crashed.start({})
    begun = crashed.next_offsets()
    assert begun == {0: 0, 1: 3}
    crashed.close()

    kafka_broker.produce(topic, [b"while down"], partition=1)
    source = open_kafka(kafka_broker, topic, start="latest")
    source.start(begun)
    assert [m.value for m in read(source, 1)] == [b"while down"]


def test_a_partition_without_stored_offset_among_stored_ones_is_new(
    kafka_broker: Cluster, open_kafka: OpenSource
) -> None:
    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 4), partition=1)
    source = open_kafka(kafka_broker, topic, start="latest")
    source.start({0: 0})
    assert source.next_offsets() == {0: 0, 1: 0}
    assert len(read(source, 4)) == 4


def test_notices_added_partitions_and_reads_them_from_their_beginning(
    kafka_broker: Cluster, open_kafka: OpenSource
) -> None:
    topic = kafka_broker.create_topic(partitions=1)
    source = open_kafka(kafka_broker, topic, start="latest", discover_every_s=0.2)
    source.start({})
    assert source.poll(10, 0.1) == []

    kafka_broker.grow_topic(topic, 3)
    kafka_broker.produce(topic, [b"early"], partition=2)

    assert [m.position for m in read(source, 1)] == [Position(topic, 2, 0)]
    assert source.next_offsets() == {0: 0, 1: 0, 2: 1}


def test_lag_is_exact(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 40), partition=0)
    kafka_broker.produce(topic, numbered(0, 7), partition=1)
    source = open_kafka(kafka_broker, topic)
    source.start({0: 15, 1: 0})
    assert source.status(NOW).lag_messages == 25 + 7

    taken = 0
    while not taken:
        taken = len(all_of(source.poll(9, 1.0)))
    assert taken <= 9
    status = source.status(NOW)
    assert (status.up, status.lag_messages, status.at, status.detail) == (True, 32 - taken, NOW, "")

    read(source, 32 - taken)
    assert source.status(NOW).lag_messages == 0


def test_caught_up_answers_for_the_marked_end(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 6), partition=1)
    source = open_kafka(kafka_broker, topic)
    source.start({})
    assert not source.caught_up()
    source.mark_end()
    assert not source.caught_up()
    read(source, 6)
    assert source.caught_up()
    kafka_broker.produce(topic, [b"later"], partition=0)
    assert source.caught_up()


def test_an_empty_topic_is_caught_up_at_once(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    source = open_kafka(kafka_broker, kafka_broker.create_topic())
    source.start({})
    source.mark_end()
    assert source.caught_up()
    assert source.poll(10, 60.0) == []


def test_a_transaction_marker_at_the_end_is_passed_over(
    kafka_broker: Cluster, open_kafka: OpenSource
) -> None:
    from confluent_kafka import Producer

    topic = kafka_broker.create_topic()
    producer = Producer({"bootstrap.servers": kafka_broker.bootstrap, "transactional.id": f"{topic}-writer"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(topic, b"kept", partition=0)
    producer.commit_transaction(10)
    producer.begin_transaction()
    producer.produce(topic, b"aborted", partition=0)
    producer.flush(10)
    producer.abort_transaction(10)

    source = open_kafka(kafka_broker, topic)
    source.start({})
    source.mark_end()
    messages = []
    deadline = time.monotonic() + ENOUGH_S
    while not source.caught_up():
        assert time.monotonic() < deadline, "never caught up with the markers"
        messages += all_of(source.poll(10, 0.2))
    assert [m.value for m in messages] == [b"kept"]
    assert source.status(NOW).lag_messages == 0


def test_commits_show_in_the_group(kafka_broker: Cluster, open_kafka: OpenSource) -> None:
    from confluent_kafka import Consumer, TopicPartition

    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 9))
    group = f"{topic}-group"
    source = open_kafka(kafka_broker, topic, group=group)
    source.start({})
    source.committed({0: 9, 1: 0})
    source.close()

    lag_tool = Consumer({"bootstrap.servers": kafka_broker.bootstrap, "group.id": group})
    seen = lag_tool.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    lag_tool.close()
    assert [p.offset for p in seen] == [9, 0]


def test_offsets_below_the_earliest_go_on_from_there_with_a_count(
    kafka_broker: Cluster, open_kafka: OpenSource, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import TopicPartition

    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, numbered(0, 50))
    kafka_broker.admin.delete_records([TopicPartition(topic, 0, 20)])[TopicPartition(topic, 0, 20)].result(10)

    source = open_kafka(kafka_broker, topic)
    with caplog.at_level(logging.WARNING, "riskmon"):
        source.start({0: 8})
    assert "12 messages were lost" in caplog.text
    assert [m.position.offset for m in read(source, 30)] == list(range(20, 50))


def test_a_topic_made_anew_is_read_from_its_beginning(
    kafka_broker: Cluster, open_kafka: OpenSource, caplog: pytest.LogCaptureFixture
) -> None:
    topic = kafka_broker.create_topic()
    kafka_broker.produce(topic, numbered(0, 4))
    source = open_kafka(kafka_broker, topic)
    with caplog.at_level(logging.WARNING, "riskmon"):
        source.start({0: 900})
    assert f"{topic}/0/900, but the partition ends at 4" in caplog.text
    assert len(read(source, 4)) == 4
    assert source.next_offsets() == {0: 4}


def test_records_deleted_before_they_were_read_are_counted_while_running(
    kafka_broker: Cluster, open_kafka: OpenSource, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import TopicPartition

    topic = kafka_broker.create_topic()
    source = open_kafka(kafka_broker, topic)
    source.start({})
    kafka_broker.produce(topic, numbered(0, 30))
    kafka_broker.admin.delete_records([TopicPartition(topic, 0, 25)])[TopicPartition(topic, 0, 25)].result(10)
    with caplog.at_level(logging.WARNING, "riskmon"):
        offsets = [m.position.offset for m in read(source, 5)]
    # A library that reads ahead may hold them all by now.
    assert offsets in (list(range(25, 30)), list(range(30)))
    assert ("25 messages were lost" in caplog.text) == (offsets[0] == 25)


def test_an_offset_that_is_gone_goes_on_at_the_earliest_with_a_count(
    kafka_broker: Cluster, open_kafka: OpenSource, caplog: pytest.LogCaptureFixture
) -> None:
    from confluent_kafka import TopicPartition

    topic = kafka_broker.create_topic(partitions=2)
    kafka_broker.produce(topic, numbered(0, 30))
    kafka_broker.produce(topic, numbered(0, 3), partition=1)
    kafka_broker.admin.delete_records([TopicPartition(topic, 0, 25)])[TopicPartition(topic, 0, 25)].result(10)
    source = open_kafka(kafka_broker, topic)
    source.start({0: 30, 1: 0})
    source._seek(0, 5)  # as after a pause in which retention passed by
    with caplog.at_level(logging.WARNING, "riskmon"):
        positions = sorted(m.position for m in read(source, 8))
    assert positions == [Position(topic, 0, n) for n in range(25, 30)] + [
        Position(topic, 1, n) for n in range(3)
    ]
    assert "20 messages were lost" in caplog.text


def test_a_missing_topic_is_named_with_similar_ones_and_not_created(
    kafka_broker: Cluster, open_kafka: OpenSource
) -> None:
    known = kafka_broker.create_topic()
    source = open_kafka(kafka_broker, f"{known}x")
    with pytest.raises(TrafficUnavailable) as caught:
        source.start({})
    text = str(caught.value)
    assert text.startswith(
        f"topic '{known}x' does not exist on {kafka_broker.bootstrap}; known topics: {known}"
    )
    assert text.endswith("; create it or mend traffic.kafka.topic")
    assert len(text.split("known topics: ")[1].split(";")[0].split(", ")) <= 10
    assert source.status(NOW).detail == text
    assert f"{known}x" not in kafka_broker.admin.list_topics(timeout=10).topics

    kafka_broker.create_topic(f"{known}x")
    kafka_broker.produce(f"{known}x", [b"now"])
    assert [m.value for m in read(source, 1)] == [b"now"]


def test_an_unreachable_broker_names_servers_and_topic_and_leaves_no_thread(open_kafka: OpenSource) -> None:
    servers = f"127.0.0.1:{free_port()}"
    source = open_kafka(servers, "prompts", request_timeout_s=0.5)
    before = threading.active_count()
    says = rf"cannot read topic 'prompts' from Kafka at {servers}"
    with pytest.raises(TrafficUnavailable, match=says) as caught:
        source.start({})
    assert not isinstance(caught.value, TrafficRefused)
    status = source.status(NOW)
    assert (status.up, status.lag_messages) == (False, None)
    assert servers in status.detail
    with pytest.raises(TrafficUnavailable):
        source.poll(10, 0.0)
    assert threading.active_count() <= before


def test_an_outage_is_reported_and_reading_goes_on_after_it(
    unplugged_broker: EmbeddedBroker, open_kafka: OpenSource
) -> None:
    broker = unplugged_broker
    broker.start()
    topic = broker.create_topic()
    broker.produce(topic, numbered(0, 5))
    source = open_kafka(broker, topic, request_timeout_s=1.0)
    source.start({})
    first = read(source, 5)

    broker.stop()
    deadline = time.monotonic() + ENOUGH_S
    with pytest.raises(TrafficUnavailable, match=topic):
        assert source.poll(10, ENOUGH_S) == []
    assert not source.status(NOW).up
    assert source.next_offsets() == {0: 5}

    broker.start()
    broker.produce(topic, numbered(5, 8))
    rest: list[RawMessage] = []
    while len(rest) < 3:
        assert time.monotonic() < deadline + ENOUGH_S, "reading did not go on"
        try:
            rest += all_of(source.poll(10, 0.2))
        except TrafficUnavailable:
            continue
    assert [m.value for m in first + rest] == numbered(0, 8)
    assert source.status(NOW).up
    assert source.status(NOW).lag_messages == 0


def test_a_damaged_batch_is_passed_over_message_by_message(
    unplugged_broker: EmbeddedBroker, open_kafka: OpenSource
) -> None:
    broker = unplugged_broker
    broker.start()
    topic = broker.create_topic()
    for first, last in ((0, 2), (2, 5), (5, 7)):
        broker.produce(topic, numbered(first, last))
    broker.stop()
    broker.damage_batch(topic, offset=2)
    broker.start()

    source = open_kafka(broker, topic)
    source.start({})
    messages = read(source, 7)

    assert [m.position.offset for m in messages] == list(range(7))
    assert [m.corrupt for m in messages] == [False, False, True, True, True, False, False]
    assert [m.value for m in messages] == [*numbered(0, 2), None, None, None, *numbered(5, 7)]


def test_missing_certificates_are_the_users_to_fix(tmp_path: Path) -> None:
    config = KafkaConfig(
        bootstrap_servers=("127.0.0.1:9092",),
        topic="prompts",
        security=KafkaSecurity(protocol="SSL", ca_file=tmp_path / "ca.pem"),
    )
    with pytest.raises(ConfigError, match=r"traffic\.kafka\.security\.ca_file: there is no file .*ca\.pem"):
        KafkaSource(config)


def test_security_settings_reach_the_client(tmp_path: Path) -> None:
    ours = trustme.CA().issue_cert("reader.example")
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "ca.pem"))
    ours.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    ours.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    security = KafkaSecurity(
        protocol="SASL_SSL",
        mechanism="SCRAM-SHA-512",
        username="reader",
        password=SecretStr("p4ss"),
        ca_file=tmp_path / "ca.pem",
        cert_file=tmp_path / "cert.pem",
        key_file=tmp_path / "key.pem",
    )
    options = client_options(
        KafkaConfig(bootstrap_servers=("a:9093", "b:9093"), topic="prompts", security=security)
    )
    assert options == {
        "bootstrap_servers": ["a:9093", "b:9093"],
        "client_id": "riskmon",
        "reconnect_backoff_max_ms": 2000,
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "reader",
        "sasl_plain_password": "p4ss",
        "ssl_cafile": str(tmp_path / "ca.pem"),
        "ssl_certfile": str(tmp_path / "cert.pem"),
        "ssl_keyfile": str(tmp_path / "key.pem"),
    }


def test_importing_the_client_warns_nobody() -> None:
    command = [sys.executable, "-W", "error::DeprecationWarning", "-c", "import riskmon.traffic.kafka"]
    subprocess.run(command, check=True, timeout=60)
