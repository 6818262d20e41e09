"""What the cluster says about one topic: its partitions, where they begin and end, and whether anybody answers.

Every fault of the client becomes a `TrafficUnavailable` whose sentence names servers and topic; the last one is kept
in `fault` until the cluster answers again.
"""

from __future__ import annotations

import difflib
import importlib.util
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from riskmon.config import KafkaConfig
from riskmon.errors import ConfigError, TrafficRefused, TrafficUnavailable
from riskmon.records import Position, TrafficStatus
from riskmon.traffic.kafka.reader import Reader, ReaderFault
from riskmon.traffic.kafka.refusals import find_refusal

log = logging.getLogger(__name__)


class Cluster:
    """The connection to a cluster, and questions about one topic.

    Before the client connects, `find_refusal` knocks: the libraries keep the reason of a refusal to their log, try a
    wrong password many times over and report a time-out.

    Args:
        config: servers, topic, group and security.
        request_timeout_s: longest wait for an answer before the cluster counts as unreachable.
        reader: the client that reads, where it is not the configured one.

    Attributes:
        reader: the client that reads.
        fault: one sentence, empty after an answer.
        answered_at, discovered_at: monotonic times of the last answer, and of the last look at the partitions.

    Raises:
        ConfigError: a certificate or key file does not exist, or the client asked for is not installed.
    """

    def __init__(self, config: KafkaConfig, request_timeout_s: float, reader: Reader | None = None) -> None:
        self.reader = reader or make_reader(config, request_timeout_s)
        self._config = config
        self._timeout_s = request_timeout_s
        self.fault = "not connected yet"
        self.answered_at = self.discovered_at = -math.inf
        self._topic = config.topic
        self._group = config.group_id
        self._servers = ",".join(config.bootstrap_servers)
        self._group_warned = False

    def connect(self) -> None:
        """Open the clients.

        Raises:
            TrafficUnavailable: no broker answers.
            TrafficRefused: a broker answers and does not let us in.
        """
        if refusal := find_refusal(self._config, self._timeout_s):
            self.fault = f"cannot read topic {self._topic!r} from Kafka: {refusal}"
            raise TrafficRefused(self.fault)
        try:
            self.reader.connect()
        except ReaderFault as exc:
            raise self.unavailable(exc) from exc

    def close(self) -> None:
        """Close the clients."""
        self.fault = self.fault or "not connected"
        self.reader.close()

    def find_partitions(self) -> set[int]:
        """Partitions that the topic has now.

        Raises:
            TrafficUnavailable: no answer, or no such topic.
        """
        try:
            found = self.reader.partitions()
            if found is None:
                raise self._missing(self.reader.topics())
        except ReaderFault as exc:
            raise self.unavailable(exc) from exc
        self.discovered_at = time.monotonic()
        return found

    def earliest(self, partitions: Collection[int]) -> dict[int, int]:
        """Offset of the first message kept, per partition."""
        return self._ask(self.reader.earliest, partitions)

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Offset that the next message will get, per partition."""
        return self._ask(self.reader.ends, partitions)

    def offsets_at(self, partitions: Collection[int], moment: datetime) -> dict[int, int]:
        """Offset of the first message of that time or later, per partition that has one."""
        stamp_ms = round(moment.timestamp() * 1000)
        return self._ask(lambda asked: self.reader.offsets_at(asked, stamp_ms), partitions)

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset.

        Raises:
            TrafficUnavailable: the client refuses.
        """
        try:
            self.reader.assign(positions)
        except ReaderFault as exc:
            raise self.unavailable(exc) from exc

    def seek(self, partition: int, offset: int) -> None:
        """Go on elsewhere in a partition that is read.

        Raises:
            TrafficUnavailable: the client refuses.
        """
        try:
            self.reader.seek(partition, offset)
        except ReaderFault as exc:
            raise self.unavailable(exc) from exc

    def status(
        self, positions: Mapping[int, int], now: datetime, settle: Callable[[], None] | None = None
    ) -> TrafficStatus:
        """Whether the cluster answers, and how many messages it holds behind these positions; never raises.

        Args:
            settle: brings the positions up to date, once the ends are known.
        """
        if self.fault:
            return TrafficStatus(up=False, lag_messages=None, at=now, detail=self.fault)
        try:
            ends = self.ends(positions)
        except TrafficUnavailable as exc:
            return TrafficStatus(up=False, lag_messages=None, at=now, detail=str(exc))
        if settle is not None:
            settle()
        lag = sum(max(0, end - positions[partition]) for partition, end in ends.items())
        return TrafficStatus(up=True, lag_messages=lag, at=now)

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        """Commit to the group, for lag tools; a refusal is logged once."""
        if self.fault or not next_offsets:
            return
        refused = self.reader.commit(self._group, next_offsets)
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

    def silent_s(self) -> float:
        """Seconds since the cluster answered."""
        return time.monotonic() - self.answered_at

    def unavailable(self, exc: ReaderFault) -> TrafficUnavailable:
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

    def _ask(
        self, question: Callable[[Collection[int]], dict[int, int]], partitions: Collection[int]
    ) -> dict[int, int]:
        """An offset per partition, from the partitions' leaders.

        Raises:
            TrafficUnavailable: no answer, no such topic, or no longer such a partition.
        """
        try:
            answer = question(partitions)
        except ReaderFault as exc:
            # A topic that is gone lets the question time out, as a broker that is gone does: ask which of the two. Or
            # it is a partition that is gone; the caller looks at the partitions anew.
            self.find_partitions()
            self.discovered_at = -math.inf
            raise self.unavailable(exc) from exc
        self.answered()
        return answer


def make_reader(config: KafkaConfig, timeout_s: float) -> Reader:
    """The configured client library behind `Reader`; `auto` takes the faster one where it is installed.

    Raises:
        ConfigError: a certificate or key file does not exist, or the client asked for is not installed.
    """
    installed = importlib.util.find_spec("confluent_kafka") is not None
    if config.client == "confluent" and not installed:
        raise ConfigError(
            "traffic.kafka.client is confluent, which is not installed: pip install 'riskmon[confluent]', "
            "or set the client to auto"
        )
    if installed and config.client != "kafka-python":
        from riskmon.traffic.kafka.confluent import ConfluentReader

        return ConfluentReader(config, timeout_s)
    from riskmon.traffic.kafka.kafka_python import KafkaPythonReader

    return KafkaPythonReader(config, timeout_s)


def warn_of_gap(wanted: Position, begin: int, end: int) -> None:
    """Say what was lost where a partition now holds [begin, end), and reading should have gone on elsewhere."""
    if wanted.offset < begin:
        log.warning(
            "%d messages were lost: reading should go on at %s, but the earliest one kept is %d; going on there",
            begin - wanted.offset,
            wanted,
            begin,
        )
    else:
        log.warning(
            "reading should go on at %s, but the partition ends at %d: the topic was made anew or cut, and an "
            "unknown number of messages was lost; reading the %d messages it holds from the earliest, %d",
            wanted,
            end,
            end - begin,
            begin,
        )
