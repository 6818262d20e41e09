"""Strands whose steps have fixed shapes: what `engines/local/strands.py` does, laid out for recording.

Rows lie in an arena (`arena.py`). A step's shape is rounded up, so that few shapes serve a whole run: contexts to
powers of two, rows behind each to two sizes per power of two, their own tokens to powers of two, contexts' tokens to
eight sizes per power of two. Rows that end leave empty slots; when a smaller shape holds all that are left, they move
together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from riskmon.estimate.engines.local.fixed.arena import Arena, Shape
from riskmon.estimate.engines.local.fixed.sizes import LENGTH, ROOM, ROWS, round_up
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.engines.local.strands import Strands
from riskmon.records import BoolArray, IntArray

Runner = Callable[[nn.Module, Arena, Shape], None]
"""Takes one step."""


class FixedStrands:
    """Rows behind contexts under one network."""

    def __init__(self, arena: Callable[[Prefix, Shape], Arena], run: Runner, room: int = 0) -> None:
        """Begin without rows.

        Args:
            arena: gives the network's arena, with room for a shape.
            run: takes a step.
            room: tokens that will be run behind a context; more may be.
        """
        self._open_arena = arena
        self._run = run
        self._room = room
        self._contexts: list[Prefix | None] = []  # by column; None where no row is left
        self._column: IntArray = np.zeros(0, dtype=np.int64)  # [m], and so on
        self._rank: IntArray = np.zeros(0, dtype=np.int64)
        self._lengths: IntArray = np.zeros(0, dtype=np.int64)
        self._width = 1  # columns of a slot's row
        self._where: Tensor | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, module: nn.Module, context: Prefix, tokens: Tensor) -> Tensor:
        """As `Strands.add`."""
        k, said = tokens.shape
        opening = Strands(said)
        logits = opening.add(module, context, tokens)
        column = self._column_of(context)
        taken = self._rank[self._column == column]
        ranks = np.setdiff1d(np.arange(k + len(taken)), taken)[:k]
        self._column = np.append(self._column, np.full(k, column))
        self._rank = np.append(self._rank, ranks)
        self._lengths = np.append(self._lengths, np.full(k, said))
        arena = self._hold()
        arena.take_rows(ranks * self._width + column, opening.states())
        self._mark(arena)
        return logits

    def step(self, module: nn.Module, tokens: Tensor) -> Tensor:
        """As `Strands.step`; the logits stand until the next step."""
        arena = self._hold()
        where = self._where
        assert where is not None
        arena.tokens[where] = tokens
        self._run(module, arena, self._shape())
        arena.lengths[where] += 1
        self._lengths = self._lengths + 1
        if (self._slots == np.arange(len(self))).all():
            return arena.logits[: len(self)]
        return arena.logits[where]

    def keep(self, stays: BoolArray) -> IntArray:
        """As `Strands.keep`; the order stays."""
        order = np.flatnonzero(stays)
        self._column, self._rank, self._lengths = (
            own[order] for own in (self._column, self._rank, self._lengths)
        )
        if len(order):
            self._contexts = [
                context if column in self._column else None for column, context in enumerate(self._contexts)
            ]
            self._tidy()
            self._mark(self._hold())
        return order

    # ---- layout

    @property
    def _slots(self) -> IntArray:
        """[m] int64."""
        slots: IntArray = self._rank * self._width + self._column
        return slots

    def _shape(self) -> Shape:
        """The smallest that holds the rows where they lie."""
        return Shape(
            self._width,
            round_up(int(self._rank.max(initial=0)) + 1, least=ROWS, parts=2),
            round_up(int(self._lengths.max(initial=0)) + 1, least=ROOM),
            round_up(self._longest_context().length, least=LENGTH, parts=8),
        )

    def _longest_context(self) -> Prefix:
        return max(
            (context for context in self._contexts if context is not None), key=lambda held: held.length
        )

    def _column_of(self, context: Prefix) -> int:
        """A context's column; a new one takes an empty column, or the columns become twice as many."""
        if context in self._contexts:
            return self._contexts.index(context)
        column = self._contexts.index(None) if None in self._contexts else len(self._contexts)
        self._contexts[column : column + 1] = [context]
        before = self._slots
        self._width = max(self._width, round_up(len(self._contexts), least=1))
        arena = self._hold()
        arena.move_rows(before, self._slots)
        arena.take_context(column, context)
        return column

    def _tidy(self) -> None:
        """Move rows together where a smaller shape then holds them."""
        used, column = np.unique(self._column, return_inverse=True)
        rank = np.zeros_like(self._rank)
        for own in range(len(used)):
            mine = column == own
            rank[mine] = np.arange(mine.sum())
        width = round_up(len(used), least=1)
        rows = round_up(int(rank.max()) + 1, least=ROWS, parts=2)
        if width * rows >= self._shape().slots:
            return
        before = self._slots
        self._contexts = [self._contexts[own] for own in used]
        self._column, self._rank, self._width = column, rank, width
        arena = self._hold()
        arena.move_contexts(used, np.arange(len(used)))
        arena.move_rows(before, self._slots)

    def _hold(self) -> Arena:
        """The arena, with room for all rows."""
        shape = self._shape()
        room = max(shape.room, round_up(self._room, least=ROOM, parts=2))
        return self._open_arena(self._longest_context(), shape._replace(room=room))

    def _mark(self, arena: Arena) -> None:
        """Tell the arena where rows are and how much they have said."""
        self._where = arena.places(self._slots)
        arena.lengths.zero_()
        arena.lengths[self._where] = arena.places(self._lengths)


__all__ = ["FixedStrands", "Runner"]
