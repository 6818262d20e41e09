"""Prompts, and the traffic they are sampled from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache


@dataclass(frozen=True, slots=True, order=True)
class Stratum:
    """A cell of the traffic: label names and values, in the configured order.

    `Stratum()` is the single stratum of unstratified traffic.
    """

    labels: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, str]:
        """Labels as a plain mapping."""
        return dict(self.labels)

    def key(self) -> str:
        """Canonical JSON text, used as the stratum's identity in the store."""
        return json.dumps(self.labels, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_key(cls, key: str) -> Stratum:
        """Inverse of `key`."""
        return _stratum_of(key)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.labels) or "all"


# The same few hundred keys are read from the store again and again.
@lru_cache(maxsize=4096)
def _stratum_of(key: str) -> Stratum:
    return Stratum(tuple((name, value) for name, value in json.loads(key)))


@dataclass(frozen=True, slots=True)
class Message:
    """One chat turn; its text stays out of `repr`.

    Attributes:
        role, content: who speaks, and what.
        name: the speaker's or the tool's name, where the message gives one.
        tool_call_id: which call a tool's answer belongs to.
        tool_calls: the calls of an assistant's turn, a JSON list in the order and spelling that production sent.
    """

    role: str
    content: str = field(repr=False)
    name: str | None = field(default=None, repr=False)
    tool_call_id: str | None = field(default=None, repr=False)
    tool_calls: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a message stands in its source: topic (or file), partition, offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True, repr=False)
class Prompt:
    """One production prompt.

    Attributes:
        id: the producer's id, or the position when it sent none.
        content: plain text, or chat messages.
        stratum: the cell it is counted in.
        position: where it was read; None for prompts from a file of `riskmon estimate`.
        response: what the deployed model answered, where the stream carries it.
        tools: what the model was told of the tools it may call, a JSON list as the request gave it.
    """

    id: str
    content: str | tuple[Message, ...]
    stratum: Stratum = Stratum()
    position: Position | None = None
    response: str | None = None
    tools: str | None = None

    @property
    def stream_key(self) -> str:
        """Names the prompt's random stream: unique even where a producer repeats an id."""
        return self.id if self.position is None else f"{self.id}@{self.position}"

    def __repr__(self) -> str:
        shape = (
            f"chars={len(self.content)}" if isinstance(self.content, str) else f"messages={len(self.content)}"
        )
        return f"Prompt(id={self.id!r}, {shape}, stratum={self.stratum})"


@dataclass(frozen=True, slots=True)
class SampledPrompt:
    """A prompt kept by the sampler.

    Attributes:
        prompt: the prompt; its `position` is set.
        window_start: start of the counting window it fell into.
        priority: keyed hash of the position, uniform in (0, 1), divided by `size`; the smallest of a cell are kept.
        size: relative chance of being kept, above 0; 1 where all are kept alike.
        stands_for: requests that it was read on behalf of; 1 where every message is read.
    """

    prompt: Prompt
    window_start: datetime
    priority: float
    size: float = 1.0
    stands_for: float = 1.0


@dataclass(frozen=True, slots=True)
class VolumeWindow:
    """Requests of one stratum in one window.

    Attributes:
        start: start of the window.
        stratum: the cell's stratum.
        requests: their number.
        variance: sampling variance of that number; 0 where every message was read and the count is exact.
    """

    start: datetime
    stratum: Stratum
    requests: int
    variance: float = 0.0


DEAD_LETTER_OUTCOMES = ("sent", "cut", "failed")
"""What becomes of a rejected message that is to be forwarded: it is, it is without its value, or it is not."""


@dataclass(frozen=True, slots=True)
class IntakeBatch:
    """What one flush of the intake adds to the store, all of it in one transaction.

    Attributes:
        consumed: messages read, rejected ones included.
        requests: counted requests per (window start, stratum).
        sample: candidates for the bottom-k of their cell.
        rejected: undecodable messages per reason.
        next_offsets: per (topic, partition), the offset to resume from.
        first_offsets: per (topic, partition), the offset from which the batch counts; absent where nobody knows.
        passed_over: per (topic, partition), ranges [begin, end) of offsets in between that the batch does not count,
            since they are counted already or are left for later.
        variances: sampling variance of `requests`, where it is not exact.
        scored: a scorer of prompts was in use, so that sizes tell of risk and not of how messages were read.
        scorer_failures: prompts that the scorer gave no usable score, per reason.
        dead_letters: rejected messages that were to be forwarded, per outcome.
    """

    consumed: int = 0
    requests: Mapping[tuple[datetime, Stratum], int] = field(default_factory=dict)
    sample: Sequence[SampledPrompt] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)
    next_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    first_offsets: Mapping[tuple[str, int], int] = field(default_factory=dict)
    passed_over: Mapping[tuple[str, int], Sequence[tuple[int, int]]] = field(default_factory=dict)
    variances: Mapping[tuple[datetime, Stratum], float] = field(default_factory=dict)
    scored: bool = False
    scorer_failures: Mapping[str, int] = field(default_factory=dict)
    dead_letters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrafficStatus:
    """Health of the source as the intake last saw it.

    Attributes:
        up: whether the source answered.
        lag_messages: unread messages over all partitions; None while unknown.
        detail: one sentence for people when `up` is False.
        readers: processes that read it; 0 where the last one is gone.
    """

    up: bool
    lag_messages: int | None
    at: datetime
    detail: str = ""
    readers: int = 1
