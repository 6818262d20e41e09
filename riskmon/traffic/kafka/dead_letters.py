"""Rejected messages, forwarded to a topic of their own as they came: key, value and headers.

Headers say why, where the message stood, and when: `riskmon-reason`, `riskmon-topic`, `riskmon-partition`,
`riskmon-offset`, `riskmon-timestamp-ms`. The letter's own time is that of forwarding, since the topic's retention goes
by it, and would delete what was rejected as too old. A message is forwarded and acknowledged before the offsets behind
it are written, so at least once; a crash between the two forwards it again.

Nothing here may hold up the counting. A message that the topic refuses as too large goes without its value, whose size
is then a header `riskmon-value-bytes`: outcome `cut`. One that cannot be forwarded within the time limit is counted as
`failed`, and so is all that follows for `_PAUSE_S`, after which the topic is tried again. What is under way is bounded
in number and bytes.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from riskmon.config import KafkaConfig
from riskmon.records import DEAD_LETTER_OUTCOMES
from riskmon.traffic.kafka.client import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    client_options,
    open_producer,
)
from riskmon.traffic.source import RawBatch

log = logging.getLogger(__name__)

SENT, CUT, FAILED = DEAD_LETTER_OUTCOMES

_MOST_UNDER_WAY = 1_000
_MOST_BYTES = 32_000_000
_PAUSE_S = 60.0
_CLOSE_S = 1.0
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class _Letter:
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: list[tuple[str, bytes]] = field(repr=False)

    def without_value(self) -> _Letter:
        size = len(self.value or b"")
        return _Letter(self.key, b"", [*self.headers, ("riskmon-value-bytes", b"%d" % size)])


class DeadLetterTopic:
    """The `DeadLetters` of a Kafka source.

    Args:
        config: servers and security; those of the topic that is read.
        topic: where rejected messages go.
        timeout_s: longest wait for the cluster, per batch.

    Raises:
        ConfigError: a certificate or key file does not exist.
    """

    def __init__(self, config: KafkaConfig, topic: str, timeout_s: float) -> None:
        self._options = client_options(config)
        self._topic = topic
        self._timeout_s = timeout_s
        self._producer: Any = None
        self._under_way: list[tuple[_Letter, Any]] = []
        self._bytes = 0
        self._outcomes: Counter[str] = Counter()
        self._closed_until = 0.0

    def forward(self, batch: RawBatch, index: int, reason: str) -> None:
        """See `DeadLetters.forward`; waits for earlier ones where too much is under way."""
        if time.monotonic() < self._closed_until:
            self._outcomes[FAILED] += 1
            return
        letter = _letter(batch, index, reason)
        self._send(letter)
        self._bytes += len(letter.value or b"")
        if len(self._under_way) >= _MOST_UNDER_WAY or self._bytes >= _MOST_BYTES:
            self._await()

    def settle(self) -> dict[str, int]:
        """See `DeadLetters.settle`; the outcomes are `DEAD_LETTER_OUTCOMES`."""
        self._await()
        outcomes, self._outcomes = dict(self._outcomes), Counter()
        return outcomes

    def close(self) -> None:
        """Let go of the connection, and of what is under way."""
        producer, self._producer = self._producer, None
        self._under_way, self._bytes = [], 0
        if producer is not None:
            with suppress(KafkaError):  # the client says so when something is still under way
                producer.close(timeout=_CLOSE_S)

    def _send(self, letter: _Letter) -> None:
        try:
            if self._producer is None:
                self._producer = open_producer(self._options, round(self._timeout_s * 1000))
            sent = self._producer.send(
                self._topic, value=letter.value, key=letter.key, headers=letter.headers
            )
        except (KafkaError, OSError) as exc:
            self._outcomes[FAILED] += 1
            self._give_up(exc)
        else:
            self._under_way.append((letter, sent))

    def _await(self) -> None:
        """Wait for what is under way; what was too large is sent again without its value, once."""
        cut = [letter.without_value() for letter in self._results(SENT)]
        for letter in cut:
            if time.monotonic() < self._closed_until:
                self._outcomes[FAILED] += 1
            else:
                self._send(letter)
        self._outcomes.update([FAILED] * len(self._results(CUT)))

    def _results(self, success: str) -> list[_Letter]:
        """Count what came of those under way; gives those that were too large."""
        # The client gives up by itself at its own time limit; a moment more tells its answer from none.
        deadline = time.monotonic() + self._timeout_s + _CLOSE_S
        under_way, self._under_way, self._bytes = self._under_way, [], 0
        too_large = []
        for letter, sent in under_way:
            try:
                sent.get(timeout=max(0.0, deadline - time.monotonic()))
            except _TOO_LARGE:
                too_large.append(letter)
            except KafkaError as exc:
                self._outcomes[FAILED] += 1
                self._give_up(exc)
            else:
                self._outcomes[success] += 1
        return too_large

    def _give_up(self, exc: Exception) -> None:
        """Leave the topic alone for a while."""
        if time.monotonic() >= self._closed_until:
            log.warning(
                "rejected messages cannot be forwarded to topic %r (%s); they are only counted for the next %.0f s; "
                "check that the topic exists, and the right to write to it",
                self._topic,
                type(exc).__name__,
                _PAUSE_S,
            )
        self._closed_until = time.monotonic() + _PAUSE_S
        self.close()


def _letter(batch: RawBatch, index: int, reason: str) -> _Letter:
    origin = {
        "riskmon-reason": reason,
        "riskmon-topic": batch.topic,
        "riskmon-partition": str(batch.partition),
        "riskmon-offset": str(batch.offsets[index]),
        "riskmon-timestamp-ms": str(batch.timestamps_ms[index]),
    }
    headers = [(name, value or b"") for name, value in (batch.headers[index] if batch.headers else ())]
    headers += [(name, value.encode()) for name, value in origin.items()]
    key = batch.keys[index] if batch.keys else None
    value = batch.values[index]
    # The client sends no message that has neither key nor value.
    return _Letter(key, b"" if value is None and key is None else value, headers)
