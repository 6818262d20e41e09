"""A client that reads one place of each partition at a time, and only of the partitions that have their turn.

kafka-python, since it fetches only when it is polled: a client that reads ahead by itself would fetch what nobody asked
for after every range.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from riskmon.traffic.kafka.kafka_python import KafkaPythonReader

FETCH_BYTES = 32 * 1024
"""Asked for per partition and fetch."""

POLL_MS = 200
"""Wait for an answer; what is asked for is there, so a broker answers at once."""


class RangeReader(KafkaPythonReader):
    """A `Reader` that is told again and again what to read.

    Args:
        config: servers, topic and security.
        timeout_s: longest wait for an answer.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    _fetch_wait_ms = POLL_MS
    _reading: ClassVar[dict[str, Any]] = {"max_partition_fetch_bytes": FETCH_BYTES, "fetch_max_wait_ms": 0}

    def turn_to(self, partitions: Collection[int], begins: Mapping[int, int]) -> None:
        """Fetch of these partitions only; some begin elsewhere, the others go on where they are.

        They are assigned anew rather than paused: the library may hold back what it fetched before a pause, and then
        fetches that partition never again.
        """
        self._consumer.assign([self._handle(partition) for partition in partitions])
        for partition, offset in begins.items():
            self.seek(partition, offset)
