"""Messages that an intake reads and does not count: those counted already, and those of another time.

A live reader may come to offsets that a backfill counted before it; a backfill of some days leaves the other days of a
file for later. What is left out is told as ranges of offsets, so that the store knows exactly what a batch counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from riskmon.records.ranges import Range, union
from riskmon.traffic.source import RawBatch, RawMessage

_Part = tuple[str, int]


class LeftOut:
    """What is left out of one source.

    Args:
        counted: per partition, ranges of offsets that are counted already.
        unwanted: tells a message that is not wanted; without it all that are not counted are.

    Attributes:
        unwanted_messages: messages that were not wanted, so far.
    """

    def __init__(
        self,
        counted: Mapping[int, Sequence[Range]],
        unwanted: Callable[[RawMessage], bool] | None = None,
    ) -> None:
        self.unwanted_messages = 0
        self._counted = {partition: union(ranges) for partition, ranges in counted.items()}
        self._unwanted = unwanted
        self._open: dict[_Part, int] = {}
        self._passed: defaultdict[_Part, list[Range]] = defaultdict(list)

    @property
    def any_counted(self) -> bool:
        """Whether any offset is counted already."""
        return any(self._counted.values())

    def keep(self, batch: RawBatch) -> RawBatch:
        """The messages of a batch that are to be counted."""
        counted = self._counted.get(batch.partition, ())
        if self._unwanted is None and not (counted and batch.offsets[0] < counted[-1][1]):
            return batch
        kept = [
            index
            for index, offset in enumerate(batch.offsets)
            if not any(begin <= offset < end for begin, end in counted) and self._wants(batch, index)
        ]
        if len(kept) == len(batch):
            return batch
        return batch.only(kept)

    def take(
        self, first: Mapping[_Part, int], following: Mapping[_Part, int]
    ) -> dict[_Part, Sequence[Range]]:
        """Ranges passed over since the last call, between the offsets of a batch."""
        for part, begin in self._open.items():
            self._passed[part].append((begin, following.get(part, begin)))
        passed = {
            part: union(
                [
                    *self._passed.get(part, ()),
                    *((max(b, first[part]), min(e, end)) for b, e in self._counted.get(part[1], ())),
                ]
            )
            for part, end in following.items()
        }
        self._open.clear()
        self._passed.clear()
        return {part: ranges for part, ranges in passed.items() if ranges}

    def _wants(self, batch: RawBatch, index: int) -> bool:
        if self._unwanted is None:
            return True
        part, offset = (batch.topic, batch.partition), batch.offsets[index]
        if self._unwanted(batch.message(index)):
            self.unwanted_messages += 1
            self._open.setdefault(part, offset)
            return False
        if part in self._open:
            self._passed[part].append((self._open.pop(part), offset))
        return True
