"""Following a source: one thread reads and counts, another writes, and neither waits for the other.

The reader gathers batches in an open one. Whenever the writer is free, the open batch is closed and handed over; while
it is not, the open one grows by counts and by what belongs to its samples. So a slow store, a locked one, or one that
is away for an hour, costs no message and no second reading.

**Memory.** The open batch holds counts and samples only. Should very many cells hold very long prompts, reading stops
at `MAX_CHARACTERS` of text until the store takes a batch: the messages wait in the source.

**Partitions that move.** Before a shared source gives partitions up, all that was read is written, for up to
`GIVE_UP_S`. What is not written by then is dropped and read again by whoever has the partition next.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from riskmon.errors import BatchRefused, TrafficUnavailable
from riskmon.traffic.intake import Intake
from riskmon.traffic.open_batch import OpenBatch
from riskmon.traffic.seek.intake import SeekIntake
from riskmon.traffic.seek.source import RangeSource
from riskmon.traffic.source import Source
from riskmon.writer import BatchWriter

log = logging.getLogger(__name__)

MAX_CHARACTERS = 256_000_000
"""Text that may wait for the store: about the memory of the process without it, up to four times in bytes."""

GIVE_UP_S = 5.0
"""Longest wait for the store before partitions go: well within the time that a group grants a member."""

FINISH_S = 3.0
"""Longest wait for the last batch at a clean end, within the time that the daemon grants its intake."""

_STATUS_EVERY_S = 2.0
_FULL_WAIT_S = 0.1


Answer = TypeVar("Answer")


class Follower(Generic[Answer]):
    """Reads a source into a writer.

    Args:
        source: where messages come from; already started.
        intake: counts and samples them.
        writer: already running.
        keep: prompts kept per cell.
        clock: the present moment.
        learn: told what the store answered to each batch.
        to_end: end once the source has caught up with its marked end.
    """

    def __init__(
        self,
        source: Source | RangeSource,
        intake: Intake | SeekIntake,
        writer: BatchWriter[Answer],
        keep: int,
        clock: Callable[[], datetime],
        learn: Callable[[Answer], None],
        *,
        to_end: bool = False,
    ) -> None:
        self._source = source
        self._intake = intake
        self._writer = writer
        self._clock = clock
        self._learn = learn
        self._to_end = to_end
        self._open = OpenBatch(keep)
        self._dropped = False
        self._full = False
        self._status_due = 0.0

    def run(self, stop: Callable[[], bool]) -> None:
        """Follow until told to stop, or to the marked end.

        Raises:
            TrafficUnavailable: the source cannot be reached; what was read before is written, if the store is there.
            StoreUnavailable: a batch was refused, or the store cannot be written and nothing is tried again.
        """
        try:
            while not stop():
                self._step()
                if self._to_end and self._source.caught_up():
                    break
        except TrafficUnavailable:
            self._finish()
            raise
        self._finish()

    def give_up(self) -> None:
        """Write all that was read, or drop it: partitions are about to go."""
        self._open.add(self._intake.cut())
        deadline = time.monotonic() + GIVE_UP_S
        if self._writer.wait(GIVE_UP_S) and self._writer.idle and not self._open.empty:
            self._writer.hand_over(self._open.close())
        written = self._writer.wait(max(0.0, deadline - time.monotonic())) and self._writer.idle
        self._dropped |= not written or not self._open.empty

    def _step(self) -> None:
        if self._open.characters < MAX_CHARACTERS:
            self._open.add(self._intake.collect(self._clock()))
        else:
            self._wait_for_room()
        if self._dropped:
            raise BatchRefused(
                "partitions moved before what was read from them could be written: resuming from the stored offsets"
            )
        self._hand_over()
        if time.monotonic() >= self._status_due:
            self._writer.note(self._source.status(self._clock()))
            self._status_due = time.monotonic() + _STATUS_EVERY_S

    def _hand_over(self) -> None:
        self._hear()
        if self._writer.idle and not self._open.empty:
            self._full = False
            self._writer.hand_over(self._open.close())

    def _wait_for_room(self) -> None:
        if not self._full:
            log.warning(
                "%d characters of sampled text wait for the store: nothing more is read until it takes them",
                self._open.characters,
                extra={"job": "intake"},
            )
            self._full = True
        time.sleep(_FULL_WAIT_S)

    def _finish(self) -> None:
        """Write what is left: as long as it takes at the end of a source, for a moment when told to stop."""
        deadline = time.monotonic() + FINISH_S
        for last in (False, True):
            if last:
                self._writer.note(self._source.status(self._clock()))
            self._hand_over()
            if not self._writer.wait(None if self._to_end else max(0.0, deadline - time.monotonic())):
                log.warning("the last batch could not be written in time; it will be read again")
                return
        self._hear()

    def _hear(self) -> None:
        """Take note of what was written."""
        for batch, answer in self._writer.take_written():
            self._source.committed({part: offset for (_, part), offset in batch.next_offsets.items()})
            self._learn(answer)
