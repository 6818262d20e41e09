"""What seek mode asks of a topic: which offsets are new, and the messages of a few of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from riskmon.records import TrafficStatus
from riskmon.traffic.seek.design import Span
from riskmon.traffic.source import RawBatch


class SpansMoved(Exception):
    """Offsets that were to be read are there no longer (retention, or a cut log): ask anew which are."""


@runtime_checkable
class RangeSource(Protocol):
    """A stream in numbered partitions that can be read anywhere; one thread calls all methods.

    Methods of the same name as those of `Source` mean the same; what is unread is what came after the last step.
    """

    @property
    def topic(self) -> str:
        """See `Source.topic`."""
        ...

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.start`."""
        ...

    def spans(self) -> list[Span]:
        """Offsets that every partition got since the last step, empty spans included; ends at committed records.

        Raises:
            TrafficUnavailable: the source cannot be reached at present.
        """
        ...

    def read(self, spans: Sequence[Span]) -> list[list[RawBatch]]:
        """The messages of each span, in the order of the spans; what lacks there has no message.

        Raises:
            TrafficUnavailable: the source cannot be reached at present.
            SpansMoved: some of these offsets are there no longer.
        """
        ...

    def pass_over(self, spans: Sequence[Span]) -> None:
        """The step over these spans is done: what comes after them is new."""
        ...

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        ...

    def status(self, now: datetime) -> TrafficStatus:
        """See `Source.status`."""
        ...

    def mark_end(self) -> None:
        """See `Source.mark_end`."""
        ...

    def caught_up(self) -> bool:
        """See `Source.caught_up`."""
        ...

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.committed`."""
        ...

    def close(self) -> None:
        """See `Source.close`."""
        ...
