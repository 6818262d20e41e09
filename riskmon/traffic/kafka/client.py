"""kafka-python: its names, its options from the configuration, and clients that leave nothing behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from riskmon.config import KafkaConfig
from riskmon.traffic.kafka.reader import LONGEST_BACKOFF_MS, security_files

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, at import
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.consumer.subscription_state import ConsumerRebalanceListener
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.errors import (
        CorruptRecordError,
        KafkaError,
        LogTruncationError,
        MessageSizeTooLargeError,
        OffsetOutOfRangeError,
        RecordListTooLargeError,
        UnknownTopicOrPartitionError,
        for_code,
    )
    from kafka.net.compat import KafkaNetClient
    from kafka.net.sasl import get_sasl_mechanism
    from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
    from kafka.protocol.sasl import (
        SaslAuthenticateRequest,
        SaslAuthenticateResponse,
        SaslHandshakeRequest,
        SaslHandshakeResponse,
    )
    from kafka.structs import OffsetAndMetadata

__all__ = [
    "ApiVersionsRequest",
    "ConsumerRebalanceListener",
    "CorruptRecordError",
    "KafkaError",
    "LogTruncationError",
    "MessageSizeTooLargeError",
    "MetadataRequest",
    "OffsetAndMetadata",
    "OffsetOutOfRangeError",
    "RecordListTooLargeError",
    "SaslAuthenticateRequest",
    "SaslAuthenticateResponse",
    "SaslHandshakeRequest",
    "SaslHandshakeResponse",
    "TopicPartition",
    "UnknownTopicOrPartitionError",
    "client_options",
    "for_code",
    "get_sasl_mechanism",
    "open_admin",
    "open_consumer",
    "open_member",
    "open_producer",
]

HEARTBEAT_MS = 3000
"""Between signs of life to the group; the answer tells that partitions are about to move."""


def client_options(config: KafkaConfig) -> dict[str, Any]:
    """Options that every client of this cluster shares.

    Raises:
        ConfigError: a certificate or key file does not exist, or is none.
    """
    security = config.security
    options: dict[str, Any] = {
        "bootstrap_servers": list(config.bootstrap_servers),
        "client_id": "riskmon",
        "security_protocol": security.protocol,
        "reconnect_backoff_max_ms": LONGEST_BACKOFF_MS,
    }
    names = {"ca_file": "ssl_cafile", "cert_file": "ssl_certfile", "key_file": "ssl_keyfile"}
    options |= {names[key]: path for key, path in security_files(security).items()}
    if security.mechanism and security.password:
        options["sasl_mechanism"] = security.mechanism
        options["sasl_plain_username"] = security.username
        options["sasl_plain_password"] = security.password.get_secret_value()
    return options


def open_admin(options: dict[str, Any], timeout_ms: int) -> Any:
    """A client that describes topics and commits offsets; a KafkaError when the cluster does not answer in time."""
    return _build(
        KafkaAdminClient, options | {"bootstrap_timeout_ms": timeout_ms, "request_timeout_ms": timeout_ms}
    )


def open_consumer(options: dict[str, Any], timeout_ms: int) -> Any:
    """A consumer, outside of any group unless options say so; a KafkaError when the cluster does not answer in time."""
    return _build(
        KafkaConsumer,
        {
            "bootstrap_timeout_ms": timeout_ms,
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
        }
        | options,
    )


def open_member(options: dict[str, Any], config: KafkaConfig, timeout_ms: int) -> Any:
    """A consumer that shares the partitions with its group; a KafkaError when the cluster does not answer in time."""
    eager = config.rebalance == "eager"
    session_ms = round(config.session_timeout.total_seconds() * 1000)
    return open_consumer(
        options
        | {
            "group_id": config.group_id,
            "group_instance_id": config.instance_id,
            "partition_assignment_strategy": (
                RangePartitionAssignor if eager else CooperativeStickyAssignor,
            ),
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": min(HEARTBEAT_MS, session_ms // 3),
        },
        timeout_ms,
    )


def open_producer(options: dict[str, Any], timeout_ms: int) -> Any:
    """A producer that gives up on a message in time; a KafkaError when the cluster does not answer in time.

    The topic says how large a message may be, and whether there is one.
    """
    return _build(
        KafkaProducer,
        options
        | {
            "bootstrap_timeout_ms": timeout_ms,
            "max_block_ms": timeout_ms,
            "request_timeout_ms": timeout_ms,
            "delivery_timeout_ms": timeout_ms,
            "acks": "all",
            "enable_idempotence": False,
            "linger_ms": 0,
            "max_request_size": 2**31 - 1,
            "allow_auto_create_topics": False,
        },
    )


def _build(client: Callable[..., Any], options: dict[str, Any]) -> Any:
    """A client; one that cannot connect is closed, since it would leave its thread running."""
    networks: list[Any] = []

    def connect(**settings: Any) -> Any:
        networks.append(KafkaNetClient(**settings))
        return networks[-1]

    try:
        return client(**options, kafka_client=connect)
    except BaseException:
        for network in networks:
            network.close()
        raise
