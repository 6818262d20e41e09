"""`Reader` on kafka-python, which needs nothing beside Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

from riskmon.config import KafkaConfig
from riskmon.traffic.kafka.client import (
    CorruptRecordError,
    KafkaError,
    LogTruncationError,
    OffsetAndMetadata,
    OffsetOutOfRangeError,
    TopicPartition,
    UnknownTopicOrPartitionError,
    client_options,
    for_code,
    open_admin,
    open_consumer,
)
from riskmon.traffic.kafka.reader import BatchCorrupt, LogCut, OffsetsGone, ReaderFault
from riskmon.traffic.source import RawBatch

_CORRUPT = re.compile(r"partition=(\d+)\) at offset (\d+)")


class KafkaPythonReader:
    """A `Reader` on kafka-python.

    Args:
        config: servers, topic and security.
        timeout_s: longest wait for an answer.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    _fetch_wait_ms = 0
    _reading: ClassVar[dict[str, Any]] = {}
    """Options of the client that fetches, beyond those that both of the library's clients share."""

    def __init__(self, config: KafkaConfig, timeout_s: float) -> None:
        self._topic = config.topic
        self._keeps_all = config.dead_letter_topic is not None
        self._options = client_options(config)
        self._timeout_ms = round(timeout_s * 1000)
        self._consumer: Any = None
        self._admin: Any = None

    @property
    def connected(self) -> bool:
        """See `Reader.connected`."""
        return self._consumer is not None

    def connect(self) -> None:
        """See `Reader.connect`."""
        try:
            with _faults():
                self._admin = open_admin(self._options, self._timeout_ms)
                self._consumer = self._open_consumer()
        except ReaderFault:
            self.close()
            raise

    def _open_consumer(self) -> Any:
        return open_consumer(self._options | self._reading, self._timeout_ms)

    def close(self) -> None:
        """See `Reader.close`."""
        consumer, admin, self._consumer, self._admin = self._consumer, self._admin, None, None
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=self._timeout_ms)
        if admin is not None:
            admin.close()

    def partitions(self) -> set[int] | None:
        """See `Reader.partitions`."""
        with _faults():
            [found] = self._admin.describe_topics([self._topic])
            error = for_code(found["error_code"])
            if error is UnknownTopicOrPartitionError:
                return None
            if error.errno:
                raise error(self._topic)
            return {partition["partition_index"] for partition in found["partitions"]}

    def topics(self) -> Collection[str]:
        """See `Reader.topics`."""
        with _faults():
            names: list[str] = self._admin.list_topics()
            return names

    def earliest(self, partitions: Collection[int]) -> dict[int, int]:
        """See `Reader.earliest`."""
        return self._ask(self._consumer.beginning_offsets, partitions)

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """See `Reader.ends`."""
        return self._ask(self._consumer.end_offsets, partitions)

    def offsets_at(self, partitions: Collection[int], moment_ms: int) -> dict[int, int]:
        """See `Reader.offsets_at`."""
        asked = {self._handle(partition): moment_ms for partition in partitions}
        with _faults():
            answer = self._consumer.offsets_for_times(asked, timeout_ms=self._timeout_ms)
        return {handle.partition: found.offset for handle, found in answer.items() if found is not None}

    def assigned(self) -> set[int]:
        """See `Reader.assigned`."""
        return {handle.partition for handle in self._consumer.assignment()}

    def assign(self, positions: Mapping[int, int]) -> None:
        """See `Reader.assign`."""
        self._consumer.assign([self._handle(partition) for partition in positions])
        for partition, offset in positions.items():
            self.seek(partition, offset)

    def seek(self, partition: int, offset: int) -> None:
        """See `Reader.seek`."""
        self._consumer.seek(self._handle(partition), offset)

    def fetch(self, max_messages: int) -> list[RawBatch]:
        """See `Reader.fetch`."""
        with _faults():
            polled = self._consumer.poll(timeout_ms=self._fetch_wait_ms, max_records=max_messages)
        return [
            RawBatch(
                topic,
                partition,
                [record.offset for record in records],
                [record.timestamp for record in records],
                [record.value for record in records],
                keys=[record.key for record in records] if self._keeps_all else (),
                headers=[record.headers for record in records] if self._keeps_all else (),
            )
            for (topic, partition), records in polled.items()
        ]

    def passed(self, partitions: Collection[int]) -> dict[int, int]:
        """See `Reader.passed`."""
        with _faults():
            found = {p: self._consumer.position(self._handle(p), timeout_ms=1000) for p in partitions}
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def commit(self, group: str, next_offsets: Mapping[int, int]) -> set[str]:
        """See `Reader.commit`."""
        offsets = {self._handle(p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}
        try:
            errors = self._admin.alter_group_offsets(group, offsets).values()
        except KafkaError as exc:
            return {type(exc).__name__}
        return {error.__name__ for error in errors if error.errno}

    def _handle(self, partition: int) -> Any:
        return TopicPartition(self._topic, partition)

    def _ask(self, question: Callable[..., Any], partitions: Collection[int]) -> dict[int, int]:
        with _faults():
            answer = question([self._handle(p) for p in partitions], timeout_ms=self._timeout_ms)
        return {handle.partition: offset for handle, offset in answer.items()}


@contextmanager
def _faults() -> Iterator[None]:
    """Translate the library's errors."""
    try:
        yield
    except OffsetOutOfRangeError as exc:
        raise OffsetsGone([handle.partition for handle in exc.args[0]]) from exc
    except LogTruncationError as exc:
        cut = exc.divergent_offsets.items()
        raise LogCut(
            {handle.partition: end.offset if end is not None else None for handle, end in cut}
        ) from exc
    except (KafkaError, OSError, KeyError) as exc:
        # KeyError is a partition that is gone.
        if isinstance(exc, CorruptRecordError) and (match := _CORRUPT.search(str(exc))):
            raise BatchCorrupt(int(match[1]), int(match[2])) from exc
        raise ReaderFault(str(exc)) from exc
