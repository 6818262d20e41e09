"""One job's rows while they are drawn at a server, turn by turn.

A proposal is up to three segments: the target to the window's start, the expert inside it, the target again. In turn s
every row that has not ended asks for its s-th segment: first all rows of a proposal together, since they share a
context; later each by itself, behind what it has said so far.

Row r draws its s-th segment with the seed b + s n + r, where b comes from the job's stream. Child i of a request with
seed z is drawn with z + i, so every row has the same seed however rows are grouped, and none is used twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.estimate.engines.jobs import Job
from riskmon.estimate.engines.vllm.protocol import Drawing, Drawn
from riskmon.estimate.proposals import Proposal
from riskmon.records import BoolArray, FloatArray, IntArray

TURNS = 3
"""Most segments of a proposal."""

Contexts = Mapping[int, tuple[str, Sequence[int]]]
"""Voice -> name of its network at the server, and token ids of its context."""

# Answers of one request: they come back together, so a failure costs as many.
_TOGETHER = 64
# Seeds are signed numbers of 64 bits; room is left to count up.
_SEEDS = 2**63 - 2**40


@dataclass(frozen=True, slots=True)
class Segment:
    """A voice and the steps [start, stop) that it draws."""

    voice: int
    start: int
    stop: int


def segments_of(proposal: Proposal, cap: int) -> tuple[Segment, ...]:
    """The segments of a proposal in their order; neighbours of one voice are one."""
    if proposal.voice == 0:
        return (Segment(0, 0, cap),)
    parts = (
        Segment(0, 0, proposal.start),
        Segment(proposal.voice, proposal.start, proposal.stop),
        Segment(0, proposal.stop, cap),
    )
    return tuple(part for part in parts if part.start < part.stop)


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """A request for the rows that it will fill, and who speaks."""

    rows: range
    segment: Segment
    drawing: Drawing


class Rows:
    """The rows of one job.

    Attributes:
        job: what is drawn.
        contexts: of every voice that the job needs.
        tokens: [n, T] int64, 0 behind a row's end. lengths: [n] int64. ended: [n] bool.
        log_probs: [voices, n, T] float64, NaN where nothing is known yet.
        work: tokens that the server was asked to read or write.
    """

    def __init__(self, job: Job, contexts: Contexts, voices: int, cap: int) -> None:
        n = len(job)
        self.job = job
        self.contexts = contexts
        self.tokens: IntArray = np.zeros((n, cap), dtype=np.int64)
        self.lengths: IntArray = np.zeros(n, dtype=np.int64)
        self.ended: BoolArray = np.zeros(n, dtype=bool)
        self.log_probs: FloatArray = np.full((voices, n, cap), np.nan)
        self.work = 0
        self._segments = [segments_of(proposal, cap) for proposal in job.proposals]
        self._seed = int(job.rng.integers(_SEEDS))

    def asks(self, turn: int) -> list[Ask]:
        """The requests of a turn."""
        found: list[Ask] = []
        first = 0
        for count, segments in zip(self.job.counts.tolist(), self._segments, strict=True):
            mine = range(first, first + count)
            first += count
            if turn >= len(segments):
                continue
            step = _TOGETHER if turn == 0 else 1
            groups = (mine[at : at + step] for at in range(0, count, step))
            found += [self._ask(rows, segments[turn], turn) for rows in groups if not self.ended[rows[0]]]
        return found

    def _ask(self, rows: range, segment: Segment, turn: int) -> Ask:
        model, context = self.contexts[segment.voice]
        said = self.tokens[rows[0], : segment.start].tolist()
        seed = self._seed + turn * len(self.job) + rows[0]
        drawing = Drawing(model, [*context, *said], len(rows), seed, segment.stop - segment.start)
        return Ask(rows, segment, drawing)

    def take(self, ask: Ask, drawn: Sequence[Drawn], stop_ids: Sequence[int]) -> None:
        """Put in what came back."""
        start = ask.segment.start
        for row, piece in zip(ask.rows, drawn, strict=True):
            stop = start + len(piece.tokens)
            self.tokens[row, start:stop] = piece.tokens
            self.log_probs[ask.segment.voice, row, start:stop] = piece.log_probs
            self.lengths[row] = stop
            self.ended[row] = piece.tokens[-1] in stop_ids
            self.work += len(piece.tokens)
        self.work += len(ask.drawing.context)
