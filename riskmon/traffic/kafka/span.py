"""Reading what a topic holds of a span of time, once: the part of each partition from one time to another.

The broker finds the offsets (`offsets_for_times`), by the time that it keeps for each message: when it was produced, or
appended, as the topic says. What a message says of its own time decides only in which window it is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from riskmon.config import KafkaConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records.ranges import Range
from riskmon.traffic.kafka.source import KafkaSource
from riskmon.traffic.source import RawBatch


@dataclass(frozen=True, slots=True)
class Holdings:
    """What a topic holds of a span of time.

    Attributes:
        ranges: per partition, the offsets of that time.
        earliest: per partition, the first offset kept; those before it are gone.
    """

    ranges: Mapping[int, Range]
    earliest: Mapping[int, int]


class KafkaSpan(KafkaSource):
    """A `Source` over parts of a topic: `find` says which there are, `read` which to read, then it is polled."""

    def __init__(self, config: KafkaConfig) -> None:
        super().__init__(config)
        self._done: dict[int, int] = {}

    def find(self, since: datetime | None, until: datetime | None) -> Holdings:
        """Where a span of time stands.

        Args:
            since, until: from when, and until before when; None for all that is kept.

        Raises:
            TrafficUnavailable: the cluster cannot be reached, or has no such topic.
        """
        self._cluster.connect()
        try:
            partitions = self._cluster.find_partitions()
            earliest, ends = self._cluster.earliest(partitions), self._cluster.ends(partitions)
            begins = earliest if since is None else ends | self._cluster.offsets_at(partitions, since)
            if until is not None:
                ends |= self._cluster.offsets_at(partitions, until)
        except TrafficUnavailable:
            self.close()
            raise
        return Holdings({p: (min(begins[p], ends[p]), ends[p]) for p in partitions}, earliest)

    def read(self, todo: Mapping[int, Range]) -> None:
        """Read these offsets from now on; there is at least one.

        Raises:
            TrafficUnavailable: the cluster cannot be reached.
        """
        self._marks = {partition: end for partition, (_, end) in todo.items()}
        self._positions = {partition: begin for partition, (begin, _) in todo.items()}
        self._begun = dict(self._positions)
        self._done = {}
        self._place(list(todo), "earliest")

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:
        """See `Source.poll`; nothing from beyond the end."""
        batches = [kept for batch in super().poll(max_messages, timeout_s) if (kept := self._within(batch))]
        self._leave_finished()
        return batches

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        marks = self._marks or {}
        return {p: min(at, marks.get(p, at)) for p, at in self._positions.items()} | self._done

    def begun_offsets(self) -> dict[int, int]:
        """See `Source.begun_offsets`."""
        return dict(self._begun)

    def _within(self, batch: RawBatch) -> RawBatch:
        end = (self._marks or {})[batch.partition]
        count = bisect_left(batch.offsets, end)
        if count == len(batch):
            return batch
        return replace(
            batch,
            offsets=batch.offsets[:count],
            timestamps_ms=batch.timestamps_ms[:count],
            values=batch.values[:count],
        )

    def _leave_finished(self) -> None:
        """Read no more of partitions whose end was met."""
        finished = {p: end for p, end in (self._marks or {}).items() if self._positions.get(p, -1) >= end}
        if finished:
            self._done |= finished
            self._positions = {p: at for p, at in self._positions.items() if p not in finished}
            if self._positions:
                self._cluster.assign(self._positions)

    def _look_after(self) -> None:
        """Nothing is taken up on the way; a client that was made anew goes on where it was."""
        if not self._cluster.reader.connected:
            self._cluster.connect()
            self._place(list(self._positions), "earliest")
        self._probe()
