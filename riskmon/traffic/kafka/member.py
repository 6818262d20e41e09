"""`Reader` on kafka-python, as a member of the consumer group.

The client calls the listener from its own thread, within `fetch` and `close` and while these wait. Until a partition is
placed it is paused, at a position that is never read: without one the client would take what is committed to Kafka.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Protocol

from riskmon.config import KafkaConfig
from riskmon.traffic.kafka.client import (
    ConsumerRebalanceListener,
    OffsetAndMetadata,
    open_member,
)
from riskmon.traffic.kafka.kafka_python import KafkaPythonReader


class Owner(Protocol):
    """Who is told that partitions come and go."""

    def came(self, partitions: Collection[int]) -> None:
        """They are this process's from now on."""
        ...

    def went(self, partitions: Collection[int]) -> None:
        """They are about to be, or already, somebody else's."""
        ...


class GroupMember(KafkaPythonReader):
    """A member of the group, which says what is read: `assign` is not for it.

    Args:
        config: servers, topic, group, way of rebalancing and security.
        timeout_s: longest wait for an answer.
        owner: told when partitions come and go.
    """

    # The client takes part in a rebalance only within a fetch, and begins it anew where one does not see its end.
    _fetch_wait_ms = 200

    def __init__(self, config: KafkaConfig, timeout_s: float, owner: Owner) -> None:
        super().__init__(config, timeout_s)
        self._config = config
        self._owner = owner

    def hold_back(self, partitions: Iterable[int]) -> None:
        """Read nothing of partitions that came, until they are placed."""
        for handle in map(self._handle, partitions):
            self._consumer.pause(handle)
            self._consumer.seek(handle, 0)

    def go_on(self, positions: Mapping[int, int]) -> None:
        """Read partitions that were held back, each from its offset."""
        for partition, offset in positions.items():
            self.seek(partition, offset)
            self._consumer.resume(self._handle(partition))

    def commit(self, group: str, next_offsets: Mapping[int, int]) -> set[str]:  # noqa: ARG002 - it is a member's own
        """See `Reader.commit`; it does not wait. What a rebalance refuses is followed by the next offsets."""
        offsets = {self._handle(p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}
        self._consumer.commit_async(offsets)
        return set()

    def _open_consumer(self) -> Any:
        consumer = open_member(self._options, self._config, self._timeout_ms)
        consumer.subscribe([self._topic], listener=_Listener(self._owner))
        return consumer


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Leads the client's calls to the owner."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._owner.came({handle.partition for handle in assigned})

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._owner.went({handle.partition for handle in revoked})

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._owner.went({handle.partition for handle in lost})
