"""What a Kafka client library is asked for, and the faults it may answer with.

`kafka_python.py` and `confluent.py` each put one library behind `Reader`; nothing else knows which of them reads. Every
fault of a library becomes a `ReaderFault`, whose text is for people and whose cause is the library's own error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from riskmon.config import KafkaSecurity
from riskmon.traffic.kafka.certificates import check_files
from riskmon.traffic.source import RawBatch

LONGEST_BACKOFF_MS = 2000
"""Between attempts to reconnect, so that reading resumes soon after a broker is back."""


class ReaderFault(Exception):
    """The library failed; the reader should be closed and connected anew."""


class OffsetsGone(ReaderFault):
    """Offsets that were asked for are no longer, or not yet, in the log; the reader can be placed elsewhere."""

    def __init__(self, partitions: Collection[int]) -> None:
        super().__init__(f"offset out of range in partitions {sorted(partitions)}")
        self.partitions = partitions


class LogCut(ReaderFault):
    """A leader election cut the log below what was read; per partition where it ends now, None where unknown."""

    def __init__(self, ends: Mapping[int, int | None]) -> None:
        super().__init__(f"log truncated in partitions {sorted(ends)}")
        self.ends = ends


class BatchCorrupt(ReaderFault):
    """The checksum of a record batch fails; `offset` is where the batch begins."""

    def __init__(self, partition: int, offset: int) -> None:
        super().__init__(f"corrupt batch at offset {offset} of partition {partition}")
        self.partition = partition
        self.offset = offset


class Reader(Protocol):
    """A client of one topic. All methods but `close` raise `ReaderFault`."""

    @property
    def connected(self) -> bool:
        """Whether `connect` succeeded since the last `close`."""
        ...

    def connect(self) -> None:
        """Open the library's clients; nothing is left behind where that fails."""
        ...

    def close(self) -> None:
        """Close them; the assignment is forgotten."""
        ...

    def partitions(self) -> set[int] | None:
        """Partitions of the topic; None where there is no such topic, which this question does not create."""
        ...

    def topics(self) -> Collection[str]:
        """Names of all topics."""
        ...

    def earliest(self, partitions: Collection[int]) -> dict[int, int]:
        """Offset of the first message kept, per partition."""
        ...

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """Offset that the next readable message will get, per partition."""
        ...

    def offsets_at(self, partitions: Collection[int], moment_ms: int) -> dict[int, int]:
        """Offset of the first message of that time or later, by the broker's time, per partition that has one."""
        ...

    def assigned(self) -> set[int]:
        """Partitions that are read."""
        ...

    def assign(self, positions: Mapping[int, int]) -> None:
        """Read exactly these partitions, each from its offset."""
        ...

    def seek(self, partition: int, offset: int) -> None:
        """Go on elsewhere in a partition that is read."""
        ...

    def fetch(self, max_messages: int) -> list[RawBatch]:
        """What has arrived by now; no batch is empty. Committed messages only.

        Keys and headers are there where rejected messages are forwarded.

        Raises:
            OffsetsGone, LogCut, BatchCorrupt: after these the reader may go on, once it is placed elsewhere.
        """
        ...

    def passed(self, partitions: Collection[int]) -> dict[int, int]:
        """How far reading has come, records without a message included; a partition may be missing."""
        ...

    def commit(self, group: str, next_offsets: Mapping[int, int]) -> set[str]:
        """Commit for lag tools; returns what was refused, by the names of the errors."""
        ...


def security_files(security: KafkaSecurity) -> dict[str, str]:
    """Paths of the certificate and key files given, by their configuration key.

    Raises:
        ConfigError: a file does not exist, or holds no certificate or key.
    """
    check_files(security)
    paths: dict[str, Path | None] = {
        key: getattr(security, key) for key in ("ca_file", "cert_file", "key_file")
    }
    return {key: str(path) for key, path in paths.items() if path is not None}
