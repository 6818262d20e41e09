"""Reading the partitions that a consumer group gives this process, and giving them up again.

The group only says who reads what. Where reading goes on is the store's to say: on assignment each partition begins at
its stored offset, whatever was committed to Kafka. Committed offsets follow what was written, for lag tools.

- **Partitions come**: they are held back until the store has been asked, since another process has read them.
- **Partitions go**: what was read is written first (`SharedSource.share`). Eager rebalancing takes all partitions of
  all members and deals them out anew; cooperative takes only those that move.
- **Nothing is stored yet**: the first process stores where each partition of the topic begins, its own or not. A
  process that joins later, or a partition that is given out later, then cannot begin at another end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from riskmon.config import KafkaConfig
from riskmon.records import Position
from riskmon.traffic.kafka.cluster import warn_of_gap
from riskmon.traffic.kafka.member import GroupMember
from riskmon.traffic.kafka.source import PROBE_EVERY_S, KafkaSource

log = logging.getLogger(__name__)


class KafkaGroupSource(KafkaSource):
    """A `SharedSource` over one topic.

    Args:
        config: servers, topic, group, policy and security.
        request_timeout_s: longest wait for an answer before the cluster counts as unreachable.
    """

    def __init__(self, config: KafkaConfig, *, request_timeout_s: float = 5.0) -> None:
        self._member = GroupMember(config, request_timeout_s, self)
        super().__init__(config, request_timeout_s=request_timeout_s, reader=self._member)
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
        self._positions, self._begun, self._first = {}, {}, {}
        if not self._member.connected or self._cluster.fault:
            self.close()
            self._connect()
        else:
            self._hold_back(self._member.assigned())
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
        super().committed(
            {partition: at for partition, at in next_offsets.items() if partition in self._positions}
        )

    # ---- partitions

    def _connect(self) -> None:
        """Join the group; partitions come with a later poll."""
        self._positions, self._begun, self._arrived = {}, {}, set()
        self._cluster.connect()
        self._cluster.answered()

    def _begin_everywhere(self) -> None:
        """Tell, with the next batch, where every partition of the topic begins."""
        found = self._cluster.find_partitions()
        ask = self._cluster.earliest if self._policy == "earliest" else self._cluster.ends
        self._first = ask(found)

    def _look_after(self) -> None:
        if not self._member.connected:
            self._connect()
            return
        if self._arrived:
            self._place_arrived()
        self._probe()

    def _probe(self) -> None:
        if self._positions:
            super()._probe()
        elif self._cluster.fault or self._cluster.silent_s() >= PROBE_EVERY_S:
            self._cluster.find_partitions()
            self._cluster.answered()

    def _place_arrived(self) -> None:
        """Begin with partitions that came, where the store says."""
        stored = self._first | dict(self._stored())
        arrived = set(self._arrived)
        earliest, ends = self._cluster.earliest(arrived), self._cluster.ends(arrived)
        for partition in arrived:
            begin, end = earliest[partition], ends[partition]
            offset = self._begun[partition] = stored.get(partition, begin)
            if not begin <= offset <= end:
                warn_of_gap(Position(self._topic, partition, offset), begin, end)
                offset = begin
            self._positions[partition] = offset
        self._arrived -= arrived
        self._member.go_on({partition: self._positions[partition] for partition in arrived})
        log.info("reading partitions %s of %s", sorted(self._positions), self._topic)

    def _assign(self, placed: Collection[int]) -> None:
        """The group assigns; a partition is only placed."""
        for partition in placed:
            self._cluster.seek(partition, self._positions[partition])

    def _wait(self, _seconds: float) -> None:
        """A member waits within its fetch."""

    def _hold_back(self, partitions: Collection[int]) -> None:
        self._arrived |= set(partitions)
        self._member.hold_back(partitions)

    # ---- called by the client, from its own thread

    def came(self, partitions: Collection[int]) -> None:
        """See `Owner.came`."""
        self._positions = {p: at for p, at in self._positions.items() if p not in partitions}
        self._hold_back(partitions)

    def went(self, partitions: Collection[int]) -> None:
        """See `Owner.went`; what was read is written before they are forgotten."""
        if self._positions.keys() & set(partitions):
            self._give_up()
        self._arrived -= set(partitions)
        self._positions = {p: at for p, at in self._positions.items() if p not in partitions}


def _nothing() -> None:
    """Nobody reads yet, so there is nothing to write."""
