"""The producer side: makes the topic and writes messages to it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from riskmon.errors import TrafficUnavailable

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # the library's own, at import
    from kafka import KafkaAdminClient, KafkaProducer
    from kafka.errors import KafkaError

# The tour says in one sentence what the library says in many lines.
logging.getLogger("kafka").addHandler(logging.NullHandler())

TOPIC = "prompts"
_PARTITIONS = 2
# The broker rewrites its whole data file as it goes, and hands over a backlog in one piece.
_RETENTION_BYTES = 32 * 2**20


class Feed:
    """An open producer; leaving the `with` block closes it.

    Args:
        address: host:port of the broker.
        timeout_s: longest wait for the broker.

    Raises:
        TrafficUnavailable: the broker does not answer.
    """

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._sent = 0
        try:
            self._make_topic()
            self._producer = KafkaProducer(
                bootstrap_servers=[address],
                linger_ms=20,
                batch_size=131_072,
                bootstrap_timeout_ms=round(timeout_s * 1000),
                request_timeout_ms=round(timeout_s * 500),
                delivery_timeout_ms=round(timeout_s * 1000),
            )
        except KafkaError as exc:
            raise self._unavailable(exc) from exc

    @property
    def sent(self) -> int:
        """Messages written so far."""
        return self._sent

    def send(self, messages: Iterable[bytes]) -> None:
        """Write messages, in turn to the partitions, and wait until the broker has them all.

        Raises:
            TrafficUnavailable: the broker does not take them.
        """
        try:
            receipts = []
            for message in messages:
                receipts.append(self._producer.send(TOPIC, message, partition=self._sent % _PARTITIONS))
                self._sent += 1
            if receipts:
                self._producer.flush(timeout=self._timeout_s)
            for receipt in receipts:
                receipt.get(timeout=self._timeout_s)
        except KafkaError as exc:
            raise self._unavailable(exc) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(KafkaError):  # what could not be delivered was said by `send`
            self._producer.close(timeout=1)

    def _make_topic(self) -> None:
        admin = KafkaAdminClient(
            bootstrap_servers=[self._address], bootstrap_timeout_ms=round(self._timeout_s * 1000)
        )
        try:
            admin.create_topics(
                {
                    TOPIC: {
                        "num_partitions": _PARTITIONS,
                        "replication_factor": 1,
                        "configs": {"retention.bytes": str(_RETENTION_BYTES)},
                    }
                }
            )
        finally:
            admin.close()

    def _unavailable(self, exc: Exception) -> TrafficUnavailable:
        return TrafficUnavailable(
            f"the embedded broker at {self._address} takes no messages ({type(exc).__name__})"
        )
