"""Reading the partitions that a consumer group gives this process, and giving them up again.

The group only says who reads what. Where reading goes on is the store's to say: on assignment each partition begins at
its stored offset, whatever was committed to Kafka. Committed offsets follow what was written, for lag tools.

- **Partitions come**: they are held back until the store has been asked, since another process has read them.
- **Partitions go**: what was read is written first (`SharedSource.share`). Eager rebalancing takes all partitions of
  all members and deals them out anew; cooperative takes only those that move.
- **Nothing is stored yet**: the first process stores where each partition of the topic begins, its own or not. A
  process that joins later, or a partition that is given out later, then cannot begin at another end.

The client calls the listener from its own thread, within `poll` and `close` and while these wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from riskmon.config import KafkaConfig
from riskmon.records import Position
from riskmon.traffic.kafka.client import ConsumerRebalanceListener
from riskmon.traffic.kafka.source import PROBE_EVERY_S, KafkaSource

log = logging.getLogger(__name__)


class KafkaGroupSource(KafkaSource):
    """A `SharedSource` over one topic.

    Args:
        config, options: as `KafkaSource`.
    """

    # The client takes part in a rebalance only within `poll`, and begins it anew where one poll does not see its end.
    _poll_ms = 200

    def __init__(self, config: KafkaConfig, **options: float) -> None:
        super().__init__(config, **options)
        self._stored: Callable[[], Mapping[int, int]] = dict
        self._give_up: Callable[[], None] = _nothing
        self._arrived: set[int] = set()
        self._first: dict[int, int] = {}

    def share(self, stored: Callable[[], Mapping[int, int]], give_up: Callable[[], None]) -> None:
        """See `SharedSource.share`."""
        self._stored, self._give_up = stored, give_up

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.start`; a member of the group stays one, and goes on with its partitions from these offsets."""
        self._marks = None
        self._positions, self._begun = {}, {}
        self._first = {}
        if self._cluster.consumer is None or self._cluster.fault:
            self.close()
            self._connect()
        else:
            self._hold_back(handle.partition for handle in self._cluster.consumer.assignment())
        if not next_offsets:
            self._begin_everywhere()

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`; where nothing was stored, also of partitions that others read."""
        return self._first | self._positions

    def begun_offsets(self) -> dict[int, int]:
        """See `Source.begun_offsets`."""
        return self._first | super().begun_offsets()

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.committed`; those of partitions that went meanwhile are left to who has them now."""
        own = {partition: at for partition, at in next_offsets.items() if partition in self._positions}
        self._cluster.commit_as_member(own)

    # ---- partitions

    def _connect(self) -> None:
        """Join the group; partitions come with a later poll."""
        self._positions, self._begun, self._arrived = {}, {}, set()
        self._cluster.connect()
        self._cluster.consumer.subscribe([self._topic], listener=_Listener(self))
        self._cluster.answered()

    def _begin_everywhere(self) -> None:
        """Tell, with the next batch, where every partition of the topic begins."""
        found = self._cluster.find_partitions()
        self._first = (
            self._cluster.earliest(found) if self._policy == "earliest" else self._cluster.ends(found)
        )

    def _probe(self) -> None:
        if self._positions:
            super()._probe()
        elif self._cluster.fault or self._cluster.silent_s() >= PROBE_EVERY_S:
            self._cluster.find_partitions()
            self._cluster.answered()

    def _look_after(self) -> None:
        if self._cluster.consumer is None:
            self._connect()
            return
        if self._arrived:
            self._place_arrived()
        self._probe()

    def _place_arrived(self) -> None:
        """Begin with partitions that came, where the store says."""
        stored = self._stored()
        arrived, self._arrived = self._arrived, set()
        try:
            self._place_at(arrived, self._first | dict(stored))
        except BaseException:
            self._arrived |= arrived
            raise
        self._cluster.consumer.resume(*map(self._cluster.handle, arrived))
        log.info("reading partitions %s of %s", sorted(self._positions), self._topic)

    def _place_at(self, partitions: Collection[int], offsets: Mapping[int, int]) -> None:
        earliest, ends = self._cluster.earliest(partitions), self._cluster.ends(partitions)
        for partition in partitions:
            begin, end = earliest[partition], ends[partition]
            offset = offsets.get(partition, begin)
            self._begun[partition] = offset
            if not begin <= offset <= end:
                self._warn_of_gap(Position(self._topic, partition, offset), begin, end)
                offset = begin
            self._seek(partition, offset)

    def _assign(self) -> None:
        """The group does."""

    def _hold_back(self, partitions: Iterable[int]) -> None:
        """Read nothing of these partitions until they are placed."""
        partitions = set(partitions)
        self._arrived |= partitions
        for handle in map(self._cluster.handle, partitions):
            self._cluster.consumer.pause(handle)
            # Any position will do; without one the client would take what is committed.
            self._cluster.consumer.seek(handle, 0)

    # ---- called by the client, from its own thread

    def came(self, partitions: Collection[int]) -> None:
        """Take note of partitions that are this process's from now on."""
        self._positions = {p: at for p, at in self._positions.items() if p not in partitions}
        self._hold_back(partitions)

    def went(self, partitions: Collection[int]) -> None:
        """Write what was read, and forget partitions that are this process's no more."""
        if not partitions:
            return
        if self._positions.keys() & set(partitions):
            self._give_up()
        self._arrived -= set(partitions)
        self._positions = {p: at for p, at in self._positions.items() if p not in partitions}


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Leads the client's calls to the source."""

    def __init__(self, source: KafkaGroupSource) -> None:
        self._source = source

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._source.came({handle.partition for handle in assigned})

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._source.went({handle.partition for handle in revoked})

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._source.went({handle.partition for handle in lost})


def _nothing() -> None:
    """Nobody reads yet, so there is nothing to write."""
