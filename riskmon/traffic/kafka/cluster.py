"""What the cluster says about one topic: its partitions, where they begin and end, and whether anybody answers.

Every fault of the client becomes a `TrafficUnavailable` whose sentence names servers and topic; the last one is kept
in `fault` until the cluster answers again.
"""

from __future__ import annotations

import difflib
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from riskmon.config import KafkaConfig
from riskmon.errors import TrafficRefused, TrafficUnavailable
from riskmon.traffic.kafka.client import (
    KafkaError,
    OffsetAndMetadata,
    TopicPartition,
    UnknownTopicOrPartitionError,
    client_options,
    for_code,
    open_admin,
    open_consumer,
)
from riskmon.traffic.kafka.refusals import find_refusal

log = logging.getLogger(__name__)


class Cluster:
    """The connection to a cluster, and questions about one topic.

    Before the clients connect, `find_refusal` knocks: the library keeps the reason of a refusal to its log, tries a
    wrong password many times over and reports a time-out.

    Args:
        config: servers, topic, group and security.
        request_timeout_s: longest wait for an answer before the cluster counts as unreachable.

    Attributes:
        consumer: the client that reads; None while not connected.
        fault: one sentence, empty after an answer.
        answered_at, discovered_at: monotonic times of the last answer, and of the last look at the partitions.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    def __init__(self, config: KafkaConfig, request_timeout_s: float) -> None:
        self.consumer: Any = None
        self.fault = "not connected yet"
        self.answered_at = self.discovered_at = -math.inf
        self._admin: Any = None
        self._topic = config.topic
        self._group = config.group_id
        self._servers = ",".join(config.bootstrap_servers)
        self._options = client_options(config)
        self._config = config
        self._timeout_ms = round(request_timeout_s * 1000)
        self._group_warned = False

    def connect(self) -> None:
        """Open the clients.

        Raises:
            TrafficUnavailable: no broker answers.
            TrafficRefused: a broker answers and does not let us in.
        """
        if refusal := find_refusal(self._config, self._timeout_ms / 1000):
            self.fault = f"cannot read topic {self._topic!r} from Kafka: {refusal}"
            raise TrafficRefused(self.fault)
        try:
            self._admin = open_admin(self._options, self._timeout_ms)
            self.consumer = open_consumer(self._options, self._timeout_ms)
        except (KafkaError, OSError) as exc:
            self.close()
            raise self.unavailable(exc) from exc

    def close(self) -> None:
        """Close the clients."""
        consumer, admin, self.consumer, self._admin = self.consumer, self._admin, None, None
        self.fault = self.fault or "not connected"
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=self._timeout_ms)
        if admin is not None:
            admin.close()

    def find_partitions(self) -> set[int]:
        """Partitions that the topic has now.

        Raises:
            TrafficUnavailable: no answer, or no such topic.
        """
        try:
            [found] = self._admin.describe_topics([self._topic])
            error = for_code(found["error_code"])
            if error is UnknownTopicOrPartitionError:
                raise self._missing(self._admin.list_topics())
            if error.errno:
                raise error(self._topic)
        except KafkaError as exc:
            raise self.unavailable(exc) from exc
        self.discovered_at = time.monotonic()
        return {partition["partition_index"] for partition in found["partitions"]}

    def earliest(self, partitions: Collection[int]) -> dict[int, int]:
        """Offset of the first message kept, per partition."""
        return self._ask(self.consumer.beginning_offsets, partitions)

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Offset that the next message will get, per partition."""
        return self._ask(self.consumer.end_offsets, partitions)

    def handle(self, partition: int) -> Any:
        """The client's name of a partition."""
        return TopicPartition(self._topic, partition)

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        """Commit to the group, for lag tools; a refusal is logged once."""
        if self.fault or not next_offsets:
            return
        offsets = {
            self.handle(partition): OffsetAndMetadata(offset, "", -1)
            for partition, offset in next_offsets.items()
        }
        try:
            errors = self._admin.alter_group_offsets(self._group, offsets).values()
            refused = {error.__name__ for error in errors if error.errno}
        except KafkaError as exc:
            refused = {type(exc).__name__}
        if refused and not self._group_warned:
            self._group_warned = True
            log.warning(
                "lag tools will not see the offsets of group %r (%s); reading goes on, the store has them",
                self._group,
                ", ".join(sorted(refused)),
            )

    def answered(self) -> None:
        """Note that the cluster answered just now."""
        self.answered_at = time.monotonic()
        self.fault = ""

    def unavailable(self, exc: Exception) -> TrafficUnavailable:
        """The error to raise for a fault of the client."""
        self.fault = (
            f"cannot read topic {self._topic!r} from Kafka at {self._servers} ({exc}); check "
            "that the broker runs, and traffic.kafka.bootstrap_servers and security"
        )
        return TrafficUnavailable(self.fault)

    def _missing(self, names: Collection[str]) -> TrafficUnavailable:
        known = [name for name in names if not name.startswith("__")]
        similar = difflib.get_close_matches(self._topic, known, n=10, cutoff=0.0)
        self.fault = (
            f"topic {self._topic!r} does not exist on {self._servers}; known topics: {', '.join(similar) or 'none'}; "
            "create it or mend traffic.kafka.topic"
        )
        return TrafficUnavailable(self.fault)

    def _ask(self, question: Callable[..., Any], partitions: Collection[int]) -> dict[int, int]:
        """An offset per partition, from the partitions' leaders.

        Raises:
            TrafficUnavailable: no answer, no such topic, or no longer such a partition.
        """
        try:
            answer = question([self.handle(p) for p in partitions], timeout_ms=self._timeout_ms)
        except (KafkaError, KeyError) as exc:
            # A topic that is gone lets the question time out, as a broker that is gone does: ask which of the two.
            # KeyError is a partition that is gone; the caller looks at the partitions anew.
            self.find_partitions()
            self.discovered_at = -math.inf
            raise self.unavailable(exc) from exc
        self.answered()
        return {handle.partition: offset for handle, offset in answer.items()}
