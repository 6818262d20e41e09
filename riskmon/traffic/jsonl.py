"""A file of JSON lines as a source: one partition, whose offsets are bytes.

A message's offset is where its line begins and the next offset is the byte after the line, so resuming is a seek. A
line counts once its newline is there; the last line of a finished file, which may lack one, counts when the end was
marked. Blank lines are passed over. A file that was cut or replaced (a rotated log) is noticed and read from its start.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from riskmon.errors import InputError, TrafficUnavailable
from riskmon.records import TrafficStatus
from riskmon.traffic.source import RawBatch

log = logging.getLogger(__name__)

IDLE_WAIT_S = 0.05
PARTITION = 0


class JsonlSource:
    """A `Source` over a file of JSON lines.

    Args:
        path: the file.
        max_line_bytes: a longer line is handed out cut to one byte more, for the decoder to reject.
    """

    def __init__(self, path: Path, max_line_bytes: int) -> None:
        self._path = path
        self._max_line_bytes = max_line_bytes
        self._file: BinaryIO | None = None
        self._offset = self._begun = 0
        self._mark: int | None = None

    @property
    def topic(self) -> str:
        """The file's name."""
        return self._path.name

    @property
    def dead_letters(self) -> None:
        """A rejected line stays in its file."""
        return None

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """See `Source.start`; without a stored offset, reading begins with the first line."""
        self.close()
        self._mark = None
        if not self._path.is_file():
            raise InputError(f"there is no file {self._path}; mend traffic.jsonl or create it")
        self._begun = next_offsets.get(PARTITION, 0)
        self._open(self._begun)

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:
        """See `Source.poll`."""
        deadline = time.monotonic() + timeout_s
        while True:
            batch = self._read(max_messages)
            wait_s = min(IDLE_WAIT_S, deadline - time.monotonic())
            if batch or wait_s <= 0 or self.caught_up():
                return [batch] if batch else []
            time.sleep(wait_s)

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        return {PARTITION: self._offset}

    def begun_offsets(self) -> dict[int, int]:
        """See `Source.begun_offsets`."""
        return {PARTITION: self._begun}

    def status(self, now: datetime) -> TrafficStatus:
        """See `Source.status`; lines not yet read are not counted, so the lag is 0 at the end and else unknown."""
        try:
            unread = self._path.stat().st_size - self._offset
        except OSError as exc:
            return TrafficStatus(
                up=False, lag_messages=None, at=now, detail=f"cannot read {self._path}: {exc.strerror}"
            )
        return TrafficStatus(up=True, lag_messages=None if unread else 0, at=now)

    def mark_end(self) -> None:
        """See `Source.mark_end`."""
        try:
            self._mark = self._path.stat().st_size
        except OSError as exc:
            raise TrafficUnavailable(f"cannot read {self._path}: {exc.strerror}") from exc

    def caught_up(self) -> bool:
        """See `Source.caught_up`."""
        return self._mark is not None and self._offset >= self._mark

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """A file has nobody to show offsets to."""

    def close(self) -> None:
        """See `Source.close`."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, offset: int) -> BinaryIO:
        """Open the file at `offset`, or at its start where no line can begin there."""
        try:
            self._file = file = self._path.open("rb")
        except OSError as exc:
            raise TrafficUnavailable(f"cannot read {self._path}: {exc.strerror}") from exc
        self._offset = offset
        size = os.fstat(file.fileno()).st_size
        if offset and not _line_begins(file, offset, size):
            log.warning(
                "no line of %s begins at byte %d of %d: the file was cut or replaced; reading it from its start",
                self._path.name,
                offset,
                size,
            )
            self._offset = 0
        file.seek(self._offset)
        return file

    def _read(self, max_messages: int) -> RawBatch:
        file = self._file if self._file is not None else self._open(self._offset)
        offsets: list[int] = []
        values: list[bytes] = []
        while len(values) < max_messages:
            start = self._offset
            line = self._read_line(file)
            if line is None:
                break
            if line:
                offsets.append(start)
                values.append(line)
        if not values:
            self._follow(file)
        return RawBatch(self.topic, PARTITION, offsets, [-1] * len(values), values)

    def _read_line(self, file: BinaryIO) -> bytes | None:
        """The next whole line, and the file behind it; None, and the file where it was, when there is none yet."""
        start = self._offset
        line = file.readline(self._max_line_bytes + 2)  # one too many to be allowed, and a newline
        length = len(line)
        last = line
        while last and not last.endswith(b"\n"):
            last = file.readline(1 << 20)
            length += len(last)
        if not last and not (line and self._mark is not None and start < self._mark):
            file.seek(start)
            return None
        self._offset = start + length
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def _follow(self, file: BinaryIO) -> None:
        """At the end: begin anew if the file at the path is another one, or shorter than what was read."""
        try:
            there = self._path.stat()
        except OSError:
            return  # between the two steps of a rotation; a file will be there again
        here = os.fstat(file.fileno())
        if (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino) or there.st_size < self._offset:
            log.warning("%s was replaced or cut; reading it from its start", self._path.name)
            self.close()
            self._open(0)


def _line_begins(file: BinaryIO, offset: int, size: int) -> bool:
    """Whether a line may begin at `offset`: after a newline, or after a last line that lacked one."""
    if offset >= size:
        return offset == size
    file.seek(offset - 1)
    return b"\n" in file.read(2)
