"""Topics to be read in ranges: what kind each offset is of, known in full, and what a step of seek mode says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray
from riskmon.records.arrays import IntArray
from riskmon.statistics.binomial import Limits
from riskmon.traffic.seek.design import Span, place_ranges
from riskmon.traffic.seek.totals import estimate_totals, limits_of, round_fairly

GAP = 0
"""Kind of an offset without a message."""

RANGES, LENGTH = 50, 20


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One topic: per partition, [n] kind of each offset. Kinds are 0 (a gap) and strata from 1 on."""

    partitions: tuple[IntArray, ...]
    kinds: int

    @property
    def truth(self) -> IntArray:
        """[C] offsets of each kind."""
        return np.bincount(np.concatenate(self.partitions), minlength=self.kinds)


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What one step says: [C] whole counts, [C] variances, limits of the share of each kind among all offsets."""

    counts: IntArray
    variances: FloatArray
    limits: tuple[Limits, ...]


def step(world: World, rng: np.random.Generator, ranges: int = RANGES, length: int = LENGTH) -> Said:
    """Read ranges of a world and estimate, by the code under test alone."""
    begins = [1000 * (1 + p) for p in range(len(world.partitions))]
    spans = [Span(p, begins[p], begins[p] + len(kinds)) for p, kinds in enumerate(world.partitions)]
    design = place_ranges(spans, ranges, length, rng)
    counts = np.zeros((world.kinds, len(design.lengths)), dtype=np.int64)
    for piece in design.pieces:
        p, begin = piece.span.partition, begins[piece.span.partition]
        read = world.partitions[p][piece.span.begin - begin : piece.span.end - begin]
        counts[:, piece.segment] += np.bincount(read, minlength=world.kinds)
    totals, variances = estimate_totals(counts, design)
    whole, rounding = round_fairly(totals, rng)
    limits = tuple(limits_of(t, v, design.offsets, ranges) for t, v in zip(totals, variances, strict=True))
    return Said(whole, variances + rounding, limits)


def mixed(rng: np.random.Generator) -> World:
    """Three strata, one offset independent of the next."""
    return World(tuple(_draw(rng, 30_000, [0, 0.6, 0.3, 0.1]) for _ in range(3)), 4)


def bursty(rng: np.random.Generator) -> World:
    """Senders speak in runs of 100 to 300 messages, far longer than a range."""
    return World(tuple(_runs(rng, 30_000, [0, 0.6, 0.3, 0.1], 200) for _ in range(3)), 4)


def drifting(rng: np.random.Generator) -> World:
    """Shares move steadily from one stratum to the other."""
    share = np.linspace(0.05, 0.9, 30_000)
    return World(tuple(1 + (rng.random(30_000) < share).astype(np.int64) for _ in range(3)), 3)


def uneven(rng: np.random.Generator) -> World:
    """Partitions of very different size and mix, one of them empty."""
    sizes, shares = [70_000, 0, 900, 15], [0.2, 0.5, 0.9, 0.5]
    drawn = zip(sizes, shares, strict=True)
    return World(tuple(_draw(rng, size, [0, share, 1 - share]) for size, share in drawn), 3)


def compacted(rng: np.random.Generator) -> World:
    """The older half has lost most of its messages, in stretches; the newer a few to transaction markers."""
    old = np.where(_runs(rng, 40_000, [0.6, 0.4], 30) == 0, GAP, _draw(rng, 40_000, [0, 0.7, 0.3]))
    return World((np.concatenate([old, _draw(rng, 40_000, [0.02, 0.68, 0.3])]),), 3)


def rare(rng: np.random.Generator) -> World:
    """One stratum of 1%, scattered."""
    return World(tuple(_draw(rng, 30_000, [0, 0.99, 0.01]) for _ in range(3)), 3)


def rare_and_bursty(rng: np.random.Generator) -> World:
    """One stratum of about 1%, in runs."""
    return World(tuple(_runs(rng, 30_000, [0, 0.99, 0.01], 60) for _ in range(3)), 3)


WORLDS: dict[str, Callable[[np.random.Generator], World]] = {
    "independent": mixed,
    "runs of one sender": bursty,
    "drifting shares": drifting,
    "uneven partitions": uneven,
    "gaps by compaction": compacted,
    "rare stratum, 1%": rare,
    "rare stratum in runs": rare_and_bursty,
}


def _draw(rng: np.random.Generator, size: int, shares: list[float]) -> IntArray:
    kinds: IntArray = rng.choice(len(shares), size=size, p=shares)
    return kinds


def _runs(rng: np.random.Generator, size: int, shares: list[float], length: int) -> IntArray:
    """Runs of half to one and a half times `length`."""
    lengths = rng.integers(length // 2, 3 * length // 2, size=2 * size // length + 1)
    return np.repeat(_draw(rng, len(lengths), shares), lengths)[:size]
