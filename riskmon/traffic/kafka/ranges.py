"""Reading a topic here and there: ranges of offsets, and where every partition ends.

Each partition works through its ranges one after the other, all partitions at the same time: one round trip fetches a
range of every partition. Fetches are small, so that a range of twenty messages does not bring a megabyte; a broker
sends one whole batch at least. A fetch asks for no more messages than a range has, since the client fetches ahead
once it has handed out everything.

Faults are those of `source.py`, and are dealt with alike. Offsets that vanish while a step reads them end that step
(`SpansMoved`): nothing of it was counted, and the next one begins where the log does now.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime

from riskmon.config import KafkaConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import Position, TrafficStatus
from riskmon.traffic.kafka.cluster import Cluster, warn_of_gap
from riskmon.traffic.kafka.range_reader import RangeReader
from riskmon.traffic.kafka.reader import BatchCorrupt, LogCut, OffsetsGone, ReaderFault
from riskmon.traffic.seek.design import Span
from riskmon.traffic.seek.source import SpansMoved
from riskmon.traffic.source import RawBatch

log = logging.getLogger(__name__)

PAUSE_S = 0.01
"""After an answer that held nothing."""


class KafkaRanges:
    """A `RangeSource` over one topic.

    Args:
        config: servers, topic, group, policy and security.
        request_timeout_s: longest wait for an answer before the cluster counts as unreachable.
        discover_every_s: how often added partitions are looked for.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    def __init__(
        self, config: KafkaConfig, *, request_timeout_s: float = 5.0, discover_every_s: float = 30.0
    ) -> None:
        self._reader = RangeReader(config, request_timeout_s)
        self._cluster = Cluster(config, request_timeout_s, self._reader)
        self._topic = config.topic
        self._policy = config.start
        self._patience_s = request_timeout_s
        self._discover_every_s = discover_every_s
        self._positions: dict[int, int] = {}
        self._marks: dict[int, int] | None = None

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._topic

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.start`."""
        self.close()
        self._marks = None
        self._positions = dict(next_offsets)
        self._look_after()

    def spans(self) -> list[Span]:
        """See `RangeSource.spans`."""
        self._look_after()
        begins, ends = self._cluster.earliest(self._positions), self._cluster.ends(self._positions)
        for partition, position in self._positions.items():
            begin, end = begins[partition], ends[partition]
            if not begin <= position <= end:
                warn_of_gap(Position(self._topic, partition, position), begin, end)
                self._positions[partition] = begin
        return [Span(partition, at, ends[partition]) for partition, at in sorted(self._positions.items())]

    def read(self, spans: Sequence[Span]) -> list[list[RawBatch]]:
        """See `RangeSource.read`."""
        reading = _Reading(self._topic, spans)
        answered = time.monotonic()
        active: list[int] = []
        try:
            while reading.partitions:
                begins = reading.turns()
                if begins or active != reading.partitions:
                    active = reading.partitions
                    self._reader.turn_to(active, begins)
                if self._fetch(reading):
                    answered = time.monotonic()
                elif time.monotonic() - answered > self._patience_s:
                    raise ReaderFault("the broker sends nothing of what it holds")
                else:
                    time.sleep(PAUSE_S)
        except (OffsetsGone, LogCut) as exc:
            raise SpansMoved from exc
        except ReaderFault as exc:
            # The client's next fetch may never return, so the client is made anew.
            self.close()
            raise self._cluster.unavailable(exc) from exc
        self._cluster.answered()
        return reading.found

    def pass_over(self, spans: Sequence[Span]) -> None:
        """See `RangeSource.pass_over`."""
        self._positions |= {span.partition: span.end for span in spans}

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        return dict(self._positions)

    def status(self, now: datetime) -> TrafficStatus:
        """See `Source.status`; the lag is what came after the last step."""
        return self._cluster.status(self._positions, now)

    def mark_end(self) -> None:
        """See `Source.mark_end`."""
        self._look_after()
        self._marks = self._cluster.ends(self._positions)

    def caught_up(self) -> bool:
        """See `Source.caught_up`."""
        return self._marks is not None and all(
            self._positions.get(partition, end) >= end for partition, end in self._marks.items()
        )

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.committed`; commits to the configured group, which must have no members of its own."""
        self._cluster.commit(next_offsets)

    def close(self) -> None:
        """See `Source.close`."""
        self._cluster.close()

    def _look_after(self) -> None:
        """Connect, or look for new partitions, where that is due."""
        cluster = self._cluster
        if not self._reader.connected:
            policy = "earliest" if self._positions else self._policy
            cluster.connect()
            try:
                self._take_up(cluster.find_partitions(), policy)
            except TrafficUnavailable:
                self.close()
                raise
        elif time.monotonic() - cluster.discovered_at >= self._discover_every_s:
            self._take_up(cluster.find_partitions(), "earliest")

    def _take_up(self, found: set[int], policy: str) -> None:
        """Follow exactly the partitions found; `policy` says where those begin that have no position."""
        cluster = self._cluster
        if gone := self._positions.keys() - found:
            log.warning("topic %s no longer has its partitions %s", self._topic, sorted(gone))
        if added := found - self._positions.keys():
            begun = cluster.earliest(added) if policy == "earliest" else cluster.ends(added)
            self._positions |= begun
        self._positions = {p: offset for p, offset in self._positions.items() if p in found}

    def _fetch(self, reading: _Reading) -> bool:
        """Take what has arrived; whether anything came of it."""
        reader = self._reader
        try:
            batches = reader.fetch(reading.longest)
        except BatchCorrupt as exc:
            if exc.partition not in reading.partitions:
                raise
            at = reading.pass_over_corrupt(exc.partition, exc.offset)
            log.warning("%s is corrupt (the checksum of its batch fails): passed over", at)
            # Without the seek the client's next fetch would never return.
            reader.seek(at.partition, at.offset + 1)
            moved = True
        else:
            moved = bool(batches)
            for batch in batches:
                reading.take(batch)
        # A position moves past records without a message too (transaction markers, what was compacted).
        for partition, offset in reader.passed(reading.partitions).items():
            moved |= reading.reached(partition, offset)
        return moved


class _Reading:
    """The ranges of one step, and how far each partition has come in its own.

    Attributes:
        found: messages per range.
    """

    def __init__(self, topic: str, spans: Sequence[Span]) -> None:
        self.found: list[list[RawBatch]] = [[] for _ in spans]
        self._topic = topic
        self._spans = spans
        self._at = [span.begin for span in spans]
        self._waiting: dict[int, deque[int]] = {}
        for index, span in enumerate(spans):
            if len(span):
                self._waiting.setdefault(span.partition, deque()).append(index)
        self._sought: set[int] = set()

    @property
    def partitions(self) -> list[int]:
        """Those that still have a range to read."""
        return list(self._waiting)

    @property
    def longest(self) -> int:
        """Messages of the longest range in turn."""
        return max(len(self._spans[waiting[0]]) for waiting in self._waiting.values())

    def turns(self) -> dict[int, int]:
        """Partitions whose next range has its turn, and where it begins; each range is named once."""
        due = {partition: waiting[0] for partition, waiting in self._waiting.items()}
        new = {partition: index for partition, index in due.items() if index not in self._sought}
        self._sought.update(new.values())
        return {partition: self._spans[index].begin for partition, index in new.items()}

    def take(self, batch: RawBatch) -> None:
        """Messages of the range in turn; those behind its end are not of it."""
        partition = batch.partition
        if partition not in self._waiting:
            return
        index = self._waiting[partition][0]
        begin = bisect_left(batch.offsets, self._at[index])
        end = bisect_left(batch.offsets, self._spans[index].end)
        if begin < end:
            inside = slice(begin, end)
            self.found[index].append(
                RawBatch(
                    self._topic,
                    partition,
                    batch.offsets[inside],
                    batch.timestamps_ms[inside],
                    batch.values[inside],
                )
            )

    def pass_over_corrupt(self, partition: int, batch_offset: int) -> Position:
        """The next message of a damaged batch has no bytes; returns where it stands."""
        index = self._waiting[partition][0]
        offset = max(self._at[index], batch_offset)
        if offset < self._spans[index].end:
            self.found[index].append(RawBatch(self._topic, partition, [offset], [-1], [None], corrupt=True))
        return Position(self._topic, partition, offset)

    def reached(self, partition: int, offset: int) -> bool:
        """The partition is read up to here; goes on to its next range at the end of one. Whether it moved."""
        waiting = self._waiting[partition]
        index = waiting[0]
        if index not in self._sought or offset <= self._at[index]:
            return False
        self._at[index] = offset
        if offset >= self._spans[index].end:
            waiting.popleft()
            if not waiting:
                del self._waiting[partition]
        return True
