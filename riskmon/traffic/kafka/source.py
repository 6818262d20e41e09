"""Reading a topic: where each partition stands, and what to do when its log is not what it was.

Partitions are assigned by hand and sought to the store's offsets, since the store is the truth; the consumer group only
shows those offsets to lag tools. Reading therefore needs no group coordinator and no right to the group. Aborted
transactions are not read: nobody was answered by them.

- **Broker away**: `TrafficUnavailable`, from `start` and from `poll`; polling again resumes where reading stopped.
- **Offset gone** (retention, or a topic made anew that is shorter): a warning with the messages lost, then on from the
  earliest. A topic made anew that has grown past the stored offset looks to every client like the old one.
- **Batch damaged** (checksum): passed over one offset at a time, each a message marked corrupt.
- **Partition added**: noticed within `discover_every_s`, read from its earliest message.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from datetime import datetime

from riskmon.config import KafkaConfig
from riskmon.errors import TrafficUnavailable
from riskmon.records import Position, TrafficStatus
from riskmon.traffic.kafka.cluster import Cluster, warn_of_gap
from riskmon.traffic.kafka.dead_letters import DeadLetterTopic
from riskmon.traffic.kafka.reader import BatchCorrupt, LogCut, OffsetsGone, Reader, ReaderFault
from riskmon.traffic.source import RawBatch

log = logging.getLogger(__name__)

IDLE_WAIT_S = 0.02
"""Pause between empty reads. The client's own waiting is not used: against a broker that ignores a fetch's wait time
it would spin."""

PROBE_EVERY_S = 2.0
"""Silence after which the broker is asked whether it is there; the client does not report a fetch that failed."""


class KafkaSource:
    """A `Source` over one topic.

    Args:
        config: servers, topic, group, policy and security.
        request_timeout_s: longest wait for an answer before the cluster counts as unreachable.
        discover_every_s: how often added partitions are looked for.
        reader: the client that reads, where it is not the configured one.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    def __init__(
        self,
        config: KafkaConfig,
        *,
        request_timeout_s: float = 5.0,
        discover_every_s: float = 30.0,
        reader: Reader | None = None,
    ) -> None:
        self._cluster = Cluster(config, request_timeout_s, reader)
        self.dead_letters = (
            None
            if config.dead_letter_topic is None
            else DeadLetterTopic(config, config.dead_letter_topic, request_timeout_s)
        )
        self._topic = config.topic
        self._policy = config.start
        self._discover_every_s = discover_every_s
        self._positions: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._marks: dict[int, int] | None = None
        self._idle = True

    @property
    def topic(self) -> str:
        """The topic's name."""
        return self._topic

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.start`."""
        self.close()
        self._marks = None
        self._positions, self._begun = dict(next_offsets), dict(next_offsets)
        self._connect()

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:
        """See `Source.poll`."""
        deadline = time.monotonic() + timeout_s
        while True:
            self._look_after()
            batches = self._read(max_messages)
            self._idle = not batches
            wait_s = min(IDLE_WAIT_S, deadline - time.monotonic())
            if batches or wait_s <= 0 or self.caught_up():
                return batches
            self._wait(wait_s)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        return dict(self._positions)

    def begun_offsets(self) -> dict[int, int]:
        """See `Source.begun_offsets`."""
        return {partition: self._begun[partition] for partition in self._positions}

    def status(self, now: datetime) -> TrafficStatus:
        """See `Source.status`; the lag is the end offsets of this moment minus the positions."""
        return self._cluster.status(self._positions, now, self._pass_over_control_records)

    def mark_end(self) -> None:
        """See `Source.mark_end`."""
        self._look_after()
        self._marks = self._cluster.ends(self._positions)

    def caught_up(self) -> bool:
        """See `Source.caught_up`."""
        if self._marks is None:
            return False
        if self._idle and self._behind(self._marks):
            self._pass_over_control_records()
        return not self._behind(self._marks)

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.committed`; commits to the configured group, which must have no members of its own."""
        self._cluster.commit(next_offsets)

    def close(self) -> None:
        """See `Source.close`."""
        self._cluster.close()
        if self.dead_letters is not None:
            self.dead_letters.close()

    # ---- partitions

    def _connect(self) -> None:
        policy = "earliest" if self._positions else self._policy
        self._cluster.connect()
        try:
            self._take_up(self._cluster.find_partitions(), policy)
        except TrafficUnavailable:
            self.close()
            raise

    def _look_after(self) -> None:
        """Connect, look for new partitions, ask a silent broker whether it is there: whichever is due."""
        cluster, now = self._cluster, time.monotonic()
        if not cluster.reader.connected:
            self._connect()
        elif now - cluster.discovered_at >= self._discover_every_s:
            self._take_up(cluster.find_partitions(), "earliest")
        else:
            self._probe()

    def _probe(self) -> None:
        """Ask a silent broker whether it is there."""
        if self._cluster.fault or self._cluster.silent_s() >= PROBE_EVERY_S:
            self._cluster.ends(self._positions)

    def _take_up(self, found: set[int], policy: str) -> None:
        """Read from exactly the partitions found; `policy` says where those begin that have no position."""
        if gone := self._positions.keys() - found:
            log.warning("topic %s no longer has its partitions %s", self._topic, sorted(gone))
            self._positions = {p: offset for p, offset in self._positions.items() if p in found}
        assigned = self._cluster.reader.assigned()
        if found != assigned:
            self._place(found - assigned, policy)

    def _place(self, partitions: Collection[int], policy: str) -> None:
        """Put partitions where reading goes on, and assign all there are."""
        earliest, ends = self._cluster.earliest(partitions), self._cluster.ends(partitions)
        for partition in partitions:
            begin, end = earliest[partition], ends[partition]
            if partition not in self._positions:
                self._positions[partition] = self._begun[partition] = begin if policy == "earliest" else end
            elif not begin <= self._positions[partition] <= end:
                warn_of_gap(Position(self._topic, partition, self._positions[partition]), begin, end)
                self._positions[partition] = begin
        self._assign(partitions)

    def _assign(self, _placed: Collection[int]) -> None:
        self._cluster.assign(self._positions)

    # ---- reading

    def _read(self, max_messages: int) -> list[RawBatch]:
        """What has arrived by now."""
        try:
            batches = self._cluster.reader.fetch(max_messages)
        except OffsetsGone as exc:
            self._place(exc.partitions, "earliest")
            return []
        except LogCut as exc:
            self._step_back(exc.ends)
            return []
        except BatchCorrupt as exc:
            return [self._pass_over_corrupt(exc.partition, exc.offset)]
        except ReaderFault as exc:
            # After any other fault a client's next poll may never return, so the client is made anew.
            self.close()
            raise self._cluster.unavailable(exc) from exc
        for batch in batches:
            self._positions[batch.partition] = batch.offsets[-1] + 1
        if batches:
            self._cluster.answered()
        return batches

    def _pass_over_corrupt(self, partition: int, batch_offset: int) -> RawBatch:
        """The next message of a damaged batch, which has no bytes.

        The batch's own header cannot be trusted to say how many there are, so each is asked for. Without the seek the
        client's next poll would never return.
        """
        offset = max(self._positions[partition], batch_offset)
        position = Position(self._topic, partition, offset)
        log.warning("%s is corrupt (the checksum of its batch fails): passed over", position)
        self._seek(partition, offset + 1)
        return RawBatch(self._topic, partition, [offset], [-1], [None], corrupt=True)

    def _step_back(self, ends: Mapping[int, int | None]) -> None:
        """Go on where an unclean leader election cut the log; from the earliest where that is unknown."""
        for partition, end in ends.items():
            offset = end if end is not None else self._cluster.earliest([partition])[partition]
            log.warning(
                "%s was cut by a leader election, and an unknown number of messages was lost; going on at %d",
                Position(self._topic, partition, self._positions[partition]),
                offset,
            )
            self._seek(partition, offset)

    def _pass_over_control_records(self) -> None:
        """Take over positions that moved past records without a message (transaction markers)."""
        try:
            passed = self._cluster.reader.passed(self._positions)
        except ReaderFault:
            return  # the next poll meets the same fault and deals with it
        for partition, offset in passed.items():
            self._positions[partition] = max(self._positions[partition], offset)

    def _behind(self, marks: Mapping[int, int]) -> bool:
        return any(self._positions.get(partition, end) < end for partition, end in marks.items())

    def _seek(self, partition: int, offset: int) -> None:
        self._cluster.seek(partition, offset)
        self._positions[partition] = offset
