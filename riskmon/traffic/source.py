"""What every source of traffic offers, whatever it reads from.

A source hands out raw messages in columns, since an object for each would cost more than reading it, and knows where to
resume. The truth about what has been consumed is the store, which
takes counts, prompts and offsets in one transaction; the source is told those offsets at start and reports the ones to
write next. One thread calls all methods of a source.

A source may forward what turned out not to be a request: `dead_letters`.

A partition without a stored offset begins where the source's policy says if nothing at all is stored, and at its
earliest message otherwise: it was added later, and everything in it is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable

from riskmon.records import Position, TrafficStatus

Headers = Sequence[tuple[str, bytes | None]]
"""Of one message, in their order; a name may come twice."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message as it came; its bytes stay out of `repr`.

    Attributes:
        position: where it stands.
        timestamp: the broker's time of it; None where there is none.
        value: the bytes; None for a tombstone.
        corrupt: the message is there but its bytes cannot be had (a failed checksum).
    """

    position: Position
    timestamp: datetime | None
    value: bytes | None = field(repr=False)
    corrupt: bool = False


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Messages of one partition, in the order of their offsets; the three columns are of one length.

    Attributes:
        topic, partition: where they stand.
        offsets: of each message, ascending.
        timestamps_ms: the broker's time of each, in milliseconds since the epoch; -1 where there is none.
        values: the bytes of each; None for a tombstone.
        keys, headers: of each message, where rejected ones are forwarded; else empty.
        corrupt: the messages are there but their bytes cannot be had (a failed checksum).
    """

    topic: str
    partition: int
    offsets: Sequence[int]
    timestamps_ms: Sequence[int]
    values: Sequence[bytes | None] = field(repr=False)
    corrupt: bool = False
    keys: Sequence[bytes | None] = field(default=(), repr=False)
    headers: Sequence[Headers] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.offsets)

    def __iter__(self) -> Iterator[RawMessage]:
        return map(self.message, range(len(self)))

    def only(self, indices: Sequence[int]) -> RawBatch:
        """Some of the messages, in this order."""
        return replace(
            self,
            offsets=[self.offsets[index] for index in indices],
            timestamps_ms=[self.timestamps_ms[index] for index in indices],
            values=[self.values[index] for index in indices],
            keys=[self.keys[index] for index in indices] if self.keys else (),
            headers=[self.headers[index] for index in indices] if self.headers else (),
        )

    def message(self, index: int) -> RawMessage:
        """One of the messages."""
        return RawMessage(
            Position(self.topic, self.partition, self.offsets[index]),
            broker_time(self.timestamps_ms[index]),
            self.values[index],
            self.corrupt,
        )


def broker_time(milliseconds: int) -> datetime | None:
    """A broker's timestamp as a time; None where there is none, or an impossible one."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds >= 0 else None
    except (OverflowError, ValueError, OSError):
        return None


class DeadLetters(Protocol):
    """Takes rejected messages, to forward them as they came."""

    def forward(self, batch: RawBatch, index: int, reason: str) -> None:
        """Send one message on its way; never raises."""
        ...

    def settle(self) -> dict[str, int]:
        """Wait, for a bounded time, until all that was forwarded is safe; messages per outcome since the last call."""
        ...


class Source(Protocol):
    """A stream of messages in numbered partitions."""

    @property
    def topic(self) -> str:
        """Name of the stream, as it stands in positions and in stored offsets."""
        ...

    @property
    def dead_letters(self) -> DeadLetters | None:
        """Where rejected messages go; None where they are only counted."""
        ...

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """Begin at the stored offsets, one per partition; may be called again after a failure.

        Raises:
            TrafficUnavailable: the source cannot be reached at present.
            InputError: the source is a file that does not exist.
        """
        ...

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:
        """The next messages, in order within a partition and no batch empty; none when none came within `timeout_s`.

        Once the source has caught up with a marked end, it no longer waits.

        Raises:
            TrafficUnavailable: the source cannot be reached at present. No message was taken; polling again
                goes on where reading stopped.
        """
        ...

    def next_offsets(self) -> dict[int, int]:
        """Per partition, the offset after the last message that `poll` handed out or passed over."""
        ...

    def begun_offsets(self) -> dict[int, int]:
        """Per partition of `next_offsets`, where reading of it began: at `start`, or when it came up later."""
        ...

    def status(self, now: datetime) -> TrafficStatus:
        """Whether the source answers, and how much of it is unread; never raises."""
        ...

    def mark_end(self) -> None:
        """Remember where the stream ends at this moment; `caught_up` answers for that mark.

        Raises:
            TrafficUnavailable: the source cannot be reached at present.
        """
        ...

    def caught_up(self) -> bool:
        """Whether all that existed at `mark_end` has been handed out; False while nothing is marked."""
        ...

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """Show the offsets that the store holds to the tools around the source; best effort, never raises."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...


@runtime_checkable
class SharedSource(Source, Protocol):
    """A source whose partitions are divided among several processes, and move between them while they read."""

    def share(self, stored: Callable[[], Mapping[int, int]], give_up: Callable[[], None]) -> None:
        """Say what to do when partitions move; called before `start`.

        Args:
            stored: the stored offset of every partition, asked when partitions come: another process has read them.
            give_up: writes what was read so far, called before partitions go. It may be called within `poll` and
                `close`, from another thread while the caller of these waits.
        """
        ...
