"""A finished file of JSON lines as a source, plain or packed: gzip, bzip2, xz, zstd, told by its first bytes.

Offsets are bytes of the unpacked text, so a log that was rotated and packed meanwhile has the same offsets as before.
Resuming reads up to the offset again, and counts nothing of it. The last line counts although it lacks a newline, if it
is a whole JSON document; if not, it is still being written, and is left for later.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from riskmon.errors import InputError
from riskmon.records import TrafficStatus
from riskmon.traffic.source import RawBatch

PARTITION = 0
_SKIP_BYTES = 1 << 20
_DIGEST_BYTES = 16
_PACKED_BYTES = (gzip.BadGzipFile, lzma.LZMAError, EOFError, OSError)


class LogFile:
    """A `Source` over one file, read once from an offset to its end.

    Args:
        path: the file.
        topic: the name under which its lines are counted.
        max_line_bytes: a longer line is handed out cut to one byte more, for the decoder to reject.

    Attributes:
        cut_off: whether the last line was left, since it is not complete.
    """

    def __init__(self, path: Path, topic: str, max_line_bytes: int) -> None:
        self.cut_off = False
        self._path = path
        self._topic = topic
        self._max_line_bytes = max_line_bytes
        self._raw: BinaryIO | None = None
        self._text: BinaryIO | None = None
        self._offset = self._begun = 0
        self._over = False

    @property
    def topic(self) -> str:
        """The name under which its lines are counted."""
        return self._topic

    @property
    def dead_letters(self) -> None:
        """A rejected line stays in its file."""
        return None

    @property
    def packed_bytes_read(self) -> int:
        """How much of the file was read, as it lies on disk."""
        return self._raw.tell() if self._raw is not None else 0

    def start(self, next_offsets: Mapping[int, int]) -> None:
        """Begin at the offset given.

        Raises:
            InputError: the file cannot be read, or is shorter.
        """
        self.close()
        self._raw, self._text = open_text(self._path)
        self._offset = self._begun = next_offsets.get(PARTITION, 0)
        left = self._begun
        while left:
            skipped = len(self._read(min(left, _SKIP_BYTES)))
            if not skipped:
                self._over = True
                self._offset -= left
                return
            left -= skipped

    def poll(self, max_messages: int, timeout_s: float) -> list[RawBatch]:  # noqa: ARG002 - nothing to wait for
        """See `Source.poll`.

        Raises:
            InputError: the file is damaged.
        """
        offsets: list[int] = []
        values: list[bytes] = []
        while len(values) < max_messages and not self._over:
            at, line = self._offset, self._line()
            if line:
                offsets.append(at)
                values.append(line)
        return [RawBatch(self._topic, PARTITION, offsets, [-1] * len(values), values)] if values else []

    def next_offsets(self) -> dict[int, int]:
        """See `Source.next_offsets`."""
        return {PARTITION: self._offset}

    def begun_offsets(self) -> dict[int, int]:
        """See `Source.begun_offsets`."""
        return {PARTITION: self._begun}

    def status(self, now: datetime) -> TrafficStatus:
        """See `Source.status`; what is unread of a packed file is not known."""
        return TrafficStatus(up=True, lag_messages=0 if self._over else None, at=now)

    def mark_end(self) -> None:
        """The end is the file's."""

    def caught_up(self) -> bool:
        """See `Source.caught_up`."""
        return self._over

    def committed(self, next_offsets: Mapping[int, int]) -> None:
        """A file has nobody to show offsets to."""

    def close(self) -> None:
        """See `Source.close`."""
        for file in (self._text, self._raw):
            if file is not None:
                file.close()
        self._raw = self._text = None
        self._over = False

    def _line(self) -> bytes:
        """The next line without its end; empty where it is blank, and at the end of the file."""
        line = self._read_line(self._max_line_bytes + 2)  # one too many to be allowed, and a newline
        length = len(line)
        last = line
        while last and not last.endswith(b"\n"):
            last = self._read_line(_SKIP_BYTES)
            length += len(last)
        self._over = not last
        if self._over and line and not _whole(line):
            self.cut_off = True
            return b""
        self._offset += length
        return line.removesuffix(b"\n").removesuffix(b"\r")

    def _read(self, size: int) -> bytes:
        assert self._text is not None
        try:
            return self._text.read(size)
        except _damage() as exc:
            raise _damaged(self._path, exc) from exc

    def _read_line(self, size: int) -> bytes:
        assert self._text is not None
        try:
            return self._text.readline(size)
        except _damage() as exc:
            raise _damaged(self._path, exc) from exc


def first_lines(path: Path, most: int) -> list[str]:
    """Running digests of a file's first lines, each of all up to it; none where it has no whole line.

    Raises:
        InputError: the file cannot be read, or is damaged.
    """
    running = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    digests: list[str] = []
    raw, text = open_text(path)
    with raw, text:
        try:
            while len(digests) < most and (line := text.readline()):
                if not line.endswith(b"\n") and not _whole(line):
                    break
                running.update(line.removesuffix(b"\n").removesuffix(b"\r") + b"\n")
                digests.append(running.hexdigest())
        except _damage() as exc:
            raise _damaged(path, exc) from exc
    return digests


def open_text(path: Path) -> tuple[BinaryIO, BinaryIO]:
    """A file as it lies on disk, and its unpacked text; both are the caller's to close.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        raw = path.open("rb")
        head = raw.peek(6)[:6]
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}") from exc
    if head.startswith(b"\x1f\x8b"):
        return raw, cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if head.startswith(b"BZh"):
        return raw, cast(BinaryIO, bz2.BZ2File(raw))
    if head.startswith(b"\xfd7zXZ\x00"):
        return raw, cast(BinaryIO, lzma.LZMAFile(raw))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
        return raw, cast(BinaryIO, io.BufferedReader(reader, _SKIP_BYTES))
    return raw, raw


def _whole(line: bytes) -> bool:
    """Whether a line without an end is a whole document."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _damage() -> tuple[type[Exception], ...]:
    """What the readers of packed files raise on a damaged one."""
    import zstandard

    return (*_PACKED_BYTES, zstandard.ZstdError)


def _damaged(path: Path, exc: Exception) -> InputError:
    return InputError(
        f"{path} is damaged or cut off ({type(exc).__name__}): what comes before was counted; mend it, or pack it anew"
    )
