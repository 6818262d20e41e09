"""A client that reads one place of each partition at a time, and only the partitions that have their turn.

kafka-python, since it fetches only when it is polled: a client that reads ahead by itself would fetch what nobody asked
for after every range.
"""

from __future__ import annotations

from riskmon.config import KafkaConfig
from riskmon.traffic.kafka.kafka_python import KafkaPythonReader
from riskmon.traffic.source import RawBatch

FETCH_BYTES = 32 * 1024
"""Asked for per partition and fetch."""

POLL_MS = 200
"""Wait for an answer; what is asked for is there, so a broker answers at once."""


class RangeReader(KafkaPythonReader):
    """A `Reader` whose partitions rest until they are told to read.

    Args:
        config: servers, topic and security.
        timeout_s: longest wait for an answer.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    def __init__(self, config: KafkaConfig, timeout_s: float) -> None:
        super().__init__(
            config, timeout_s, {"max_partition_fetch_bytes": FETCH_BYTES, "fetch_max_wait_ms": 0}
        )

    def rest(self, *partitions: int) -> None:
        """Fetch nothing of these partitions; without any, of none."""
        self._consumer.pause(*(self._handle(p) for p in partitions or self.assigned()))

    def begin(self, partition: int, offset: int) -> None:
        """Read a partition from here on."""
        self.seek(partition, offset)
        self._consumer.resume(self._handle(partition))

    def fetch(self, max_messages: int) -> list[RawBatch]:
        """See `Reader.fetch`; waits a little for an answer."""
        return self._poll(max_messages, POLL_MS)
