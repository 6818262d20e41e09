"""Reading what a topic holds of a span of time, once: the part of each partition from one time to another.

The broker finds the offsets (`offsets_for_times`), by the time that it keeps for each message: when it was produced, or
appended, as the topic says. What a message says of its own time decides only in which window it is counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

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
        self._place(list(todo), "earliest")

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:
        """See `Source.poll`; nothing from beyond the end."""
        return [kept for batch in super().poll(max_messages, timeout_s) if (kept := self._within(batch))]

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        marks = self._marks or {}
        return {p: min(at, marks.get(p, at)) for p, at in self._positions.items()}

    def _within(self, batch: RawBatch) -> RawBatch:
        end = (self._marks or {})[batch.partition]
        if batch.offsets[-1] < end - 1:
            return batch
        self._cluster.consumer.pause(self._cluster.handle(batch.partition))
        count = bisect_left(batch.offsets, end)
        return replace(
            batch,
            offsets=batch.offsets[:count],
            timestamps_ms=batch.timestamps_ms[:count],
            values=batch.values[:count],
        )

    def _look_after(self) -> None:
        """Nothing is taken up on the way; a client that was made anew goes on where it was."""
        if self._cluster.consumer is None:
            self._cluster.connect()
            self._place(list(self._positions), "earliest")
        self._probe()
