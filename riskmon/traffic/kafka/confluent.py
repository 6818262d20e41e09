"""`Reader` on confluent-kafka, several times as fast: librdkafka fetches and takes batches apart outside of Python.

Its own threads read ahead, up to `QUEUED_KB`. Damaged batches and other faults of one partition come in its stream of
messages; what came after a fault waits until the fault was dealt with.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, overload

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from riskmon.config import KafkaConfig
from riskmon.traffic.kafka.reader import (
    LONGEST_BACKOFF_MS,
    BatchCorrupt,
    LogCut,
    OffsetsGone,
    ReaderFault,
    security_files,
)
from riskmon.traffic.source import RawBatch

QUEUED_KB = 32_768
"""What librdkafka may hold that was not handed out yet."""

FILL_S = 0.005
"""Longest wait for more messages once there are some, or none: fuller batches cost less."""

_CUT = re.compile(r"log truncation detected.* broker end offset is (-?\d+)", re.IGNORECASE)
_GONE = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}


class ConfluentReader:
    """A `Reader` on confluent-kafka.

    Args:
        config: servers, topic, group and security.
        timeout_s: longest wait for an answer.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    def __init__(self, config: KafkaConfig, timeout_s: float) -> None:
        self._topic = config.topic
        self._keeps_all = config.dead_letter_topic is not None
        self._group = config.group_id
        self._options = confluent_options(config)
        self._timeout_s = timeout_s
        self._consumer: Any = None
        self._admin: Any = None
        self._waiting: list[Message] = []
        self._passed: dict[int, int] = {}
        self._heard = ""

    @property
    def connected(self) -> bool:
        """See `Reader.connected`."""
        return self._consumer is not None

    def connect(self) -> None:
        """See `Reader.connect`."""
        self._heard = ""
        try:
            shared = self._options | {"error_cb": self._hear}
            with self._faults():
                self._admin = AdminClient(shared)
            self.partitions()  # the library connects when it pleases; asked anything, somebody must answer
            with self._faults():
                self._consumer = Consumer(shared | _consumer_options(self._group))
        except ReaderFault:
            self.close()
            raise

    def close(self) -> None:
        """See `Reader.close`."""
        consumer, self._consumer, self._admin = self._consumer, None, None
        self._waiting = []
        self._passed = {}
        if consumer is not None:
            consumer.close()

    def partitions(self) -> set[int] | None:
        """See `Reader.partitions`."""
        with self._faults():
            asked = self._admin.describe_topics(
                TopicCollection([self._topic]), request_timeout=self._timeout_s
            )
            try:
                found = asked[self._topic].result()
            except KafkaException as exc:
                if exc.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    return None
                raise
        return {partition.id for partition in found.partitions}

    def topics(self) -> Collection[str]:
        """See `Reader.topics`."""
        with self._faults():
            return list(self._admin.list_topics(timeout=self._timeout_s).topics)

    def earliest(self, partitions: Collection[int]) -> dict[int, int]:
        """See `Reader.earliest`."""
        return self._ask(OffsetSpec.earliest(), partitions)  # type: ignore[no-untyped-call]

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """See `Reader.ends`."""
        return self._ask(OffsetSpec.latest(), partitions)  # type: ignore[no-untyped-call]

    def offsets_at(self, partitions: Collection[int], moment_ms: int) -> dict[int, int]:
        """See `Reader.offsets_at`."""
        found = self._ask(OffsetSpec.for_timestamp(moment_ms), partitions)
        return {partition: offset for partition, offset in found.items() if offset >= 0}

    def assigned(self) -> set[int]:
        """See `Reader.assigned`."""
        return {handle.partition for handle in self._consumer.assignment()}

    def assign(self, positions: Mapping[int, int]) -> None:
        """See `Reader.assign`."""
        self._waiting = []
        self._passed = {}
        with self._faults():
            self._consumer.assign([TopicPartition(self._topic, p, offset) for p, offset in positions.items()])

    def seek(self, partition: int, offset: int) -> None:
        """See `Reader.seek`."""
        self._waiting = [message for message in self._waiting if message.partition() != partition]
        self._passed.pop(partition, None)
        with self._faults():
            self._consumer.seek(TopicPartition(self._topic, partition, offset))

    def fetch(self, max_messages: int) -> list[RawBatch]:
        """See `Reader.fetch`."""
        messages = self._waiting[:max_messages]
        self._waiting = self._waiting[max_messages:]
        if not messages:
            with self._faults():
                messages = self._consumer.consume(max_messages, FILL_S)
        if any(map(Message.error, messages)):
            messages = self._until_fault(messages)
        runs = groupby(messages, Message.partition)
        return [self._columns(partition, list(run)) for partition, run in runs if partition is not None]

    def passed(self, partitions: Collection[int]) -> dict[int, int]:
        """See `Reader.passed`; known where reading has met the end of a partition."""
        return {p: self._passed[p] for p in partitions if p in self._passed}

    def commit(self, group: str, next_offsets: Mapping[int, int]) -> set[str]:
        """See `Reader.commit`."""
        offsets = [TopicPartition(self._topic, p, offset) for p, offset in next_offsets.items()]
        try:
            asked = self._admin.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=self._timeout_s
            )
            answers = asked[group].result().topic_partitions
        except KafkaException as exc:
            return {exc.args[0].name()}
        return {answer.error.name() for answer in answers if answer.error is not None}

    def _ask(self, which: Any, partitions: Collection[int]) -> dict[int, int]:
        if not partitions:
            return {}
        with self._faults():
            asked = self._admin.list_offsets(
                {TopicPartition(self._topic, partition): which for partition in partitions},
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=self._timeout_s,
            )
            return {handle.partition: future.result().offset for handle, future in asked.items()}

    def _columns(self, partition: int, messages: Sequence[Message]) -> RawBatch:
        offsets, values = map(Message.offset, messages), map(Message.value, messages)
        return RawBatch(
            self._topic,
            partition,
            list(offsets),  # type: ignore[arg-type]
            _Times(messages),
            list(values),
            keys=list(map(Message.key, messages)) if self._keeps_all else (),
            headers=[list(message.headers() or ()) for message in messages] if self._keeps_all else (),  # type: ignore[arg-type]
        )

    def _until_fault(self, messages: list[Message]) -> list[Message]:
        """The messages before the first fault, which raises once it is the next; ends of partitions are noted."""
        good = []
        for index, message in enumerate(messages):
            error = message.error()
            if error is None:
                good.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                self._passed[message.partition()] = message.offset()  # type: ignore[index, assignment]
            elif good:
                self._waiting = messages[index:] + self._waiting
                break
            else:
                self._waiting = messages[index + 1 :] + self._waiting
                raise _fault_of(message, error)
        return good

    def _hear(self, error: KafkaError) -> None:
        """Keep what the library says of its connections: a question that fails only says that it timed out."""
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._heard = error.str()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Translate the library's errors."""
        try:
            yield
        except KafkaException as exc:
            if self._admin is not None:
                self._admin.poll(0)  # which is when `_hear` is called
            error = exc.args[0]
            text = error.str() if isinstance(error, KafkaError) else str(error)
            raise ReaderFault(f"{text}: {self._heard}" if self._heard else text) from exc


class _Times(Sequence[int]):
    """The broker's times of messages, looked up when asked for: most messages carry a time of their own."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages

    def __len__(self) -> int:
        return len(self._messages)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return _Times(self._messages[index])
        return self._messages[index].timestamp()[1]


def confluent_options(config: KafkaConfig) -> dict[str, Any]:
    """Options that both of the library's clients share.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """
    security, files = config.security, security_files(config.security)
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(config.bootstrap_servers),
        "client.id": "riskmon",
        "security.protocol": security.protocol,
        "reconnect.backoff.max.ms": LONGEST_BACKOFF_MS,
        # It would write to standard error; what is wrong is heard through `error_cb`.
        "log_level": 0,
    }
    names = {
        "ca_file": "ssl.ca.location",
        "cert_file": "ssl.certificate.location",
        "key_file": "ssl.key.location",
    }
    options |= {names[key]: path for key, path in files.items()}
    if security.mechanism and security.password:
        options["sasl.mechanisms"] = security.mechanism
        options["sasl.username"] = security.username
        options["sasl.password"] = security.password.get_secret_value()
    return options


def _consumer_options(group: str) -> dict[str, Any]:
    return {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        "check.crcs": True,
        "queued.max.messages.kbytes": QUEUED_KB,
        # After its queue was full it would else wait a second, in which the queue runs empty.
        "fetch.queue.backoff.ms": 10,
    }


def _fault_of(message: Message, error: KafkaError) -> ReaderFault:
    """What a fault in the stream of messages means."""
    partition, offset = message.partition(), message.offset()
    if partition is not None and partition >= 0 and offset is not None:
        if error.code() == KafkaError._BAD_MSG and offset >= 0:
            return BatchCorrupt(partition, offset)
        if cut := _CUT.search(error.str()):
            return LogCut({partition: int(cut[1]) if int(cut[1]) >= 0 else None})
        if error.code() in _GONE:
            return OffsetsGone([partition])
    return ReaderFault(error.str())
