"""Which offsets are read: one range at a random place in each of m equal segments.

In come the offsets that every partition got since the last step, out goes a `Design`. The new offsets of all
partitions, [begin, end), are laid end to end on one axis of length N, in the order of the partitions. The axis is cut
into m segments whose lengths S_h differ by one at most. In each a range of L offsets begins at a place drawn
uniformly among the S_h of the segment, and goes on at the segment's start where it reaches its end (circular
systematic sampling, Cochran 1977, ch. 8.2). So each offset of segment h is read with probability exactly L / S_h, at
its edges too, and each one that is read stands for S_h / L. Segments are drawn independently of one another.

That is stratified sampling of one cluster (a range) per stratum (a segment): the segments spread the ranges over
partitions and over time, the ranges make a seek worth its round trip. With N <= m L everything is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray
from riskmon.records.arrays import IntArray


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Offsets [begin, end) of a partition."""

    partition: int
    begin: int
    end: int

    def __len__(self) -> int:
        return self.end - self.begin

    def first_part(self, parts: int) -> Span:
        """The first of as many parts of equal length, rounded up."""
        return Span(self.partition, self.begin, self.begin + -(-len(self) // max(parts, 1)))


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive offsets of one partition to be read, as part of a segment's range."""

    segment: int
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """What is read of an axis of N offsets, in H segments.

    Attributes:
        lengths: [H] S_h, offsets of each segment; N in all.
        taken: [H] offsets read of each.
        pieces: where they lie; a range that crosses a border is in several.
    """

    lengths: IntArray
    taken: IntArray
    pieces: tuple[Piece, ...]

    @property
    def offsets(self) -> int:
        """N."""
        return int(self.lengths.sum())

    @property
    def stands_for(self) -> FloatArray:
        """[H] offsets that each one read stands for; 1 where all are read."""
        expansion: FloatArray = self.lengths / self.taken
        return expansion

    @property
    def exact(self) -> bool:
        """Whether every offset is read."""
        return bool((self.lengths == self.taken).all())


def place_ranges(spans: Iterable[Span], ranges: int, length: int, rng: np.random.Generator) -> Design:
    """Choose the offsets to read.

    Args:
        spans: the new offsets, one span per partition; empty ones are passed over.
        ranges, length: m and L, at least 1 each.
        rng: source of chance; nobody who sends messages may know its state.
    """
    axis = sorted(span for span in spans if len(span) > 0)
    starts = np.concatenate([[0], np.cumsum([len(span) for span in axis], dtype=np.int64)])
    total = int(starts[-1])
    if total <= ranges * length:
        whole = np.array([total] if total else [], dtype=np.int64)
        return Design(whole, whole, tuple(Piece(0, span) for span in axis))
    edges = np.array([segment * total // ranges for segment in range(ranges + 1)], dtype=np.int64)
    lengths = np.diff(edges)
    pieces: list[Piece] = []
    for segment, first in enumerate(rng.integers(edges[:-1], edges[1:])):
        begin, end = int(edges[segment]), int(edges[segment + 1])
        over = max(0, int(first) + length - end)
        stretches = [(begin, begin + over), (int(first), int(first) + length - over)]
        pieces += [
            Piece(segment, part) for low, high in stretches for part in _parts(axis, starts, low, high)
        ]
    return Design(lengths, np.full(ranges, length, dtype=np.int64), tuple(pieces))


def _parts(axis: Sequence[Span], starts: IntArray, low: int, high: int) -> list[Span]:
    """Offsets of the partitions that lie at [low, high) of the axis."""
    parts = []
    at = int(np.searchsorted(starts, low, side="right")) - 1
    while low < high:
        span, stop = axis[at], min(high, int(starts[at + 1]))
        shift = span.begin - int(starts[at])
        parts.append(Span(span.partition, low + shift, stop + shift))
        low, at = stop, at + 1
    return parts
