"""Strands whose steps have fixed shapes: what `engines/local/strands.py` does, laid out for recording.

Rows lie in an arena (`arena.py`), in columns that read a context each (`layout.py`). A step's shape is rounded up, so
that few shapes serve a whole run: columns and their rows to two sizes per power of two, rows' own tokens to powers of
two, contexts' tokens to eight sizes per power of two. Rows that end leave empty slots; where new ones do not fit, or a
layout of three quarters of the slots would do, all are laid out anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from torch import Tensor, nn

from riskmon.estimate.engines.local.fixed.arena import Arena, Shape
from riskmon.estimate.engines.local.fixed.layout import Layout, lay_out
from riskmon.estimate.engines.local.fixed.sizes import LENGTH, ROOM, ROWS, round_up
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.engines.local.strands import Strands
from riskmon.records import BoolArray, IntArray

_WORTH_MOVING = 0.75

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
        self._columns: list[Prefix | None] = []  # the context that each reads; None where no row is left
        self._context: list[Prefix] = []  # [m], and so on
        self._column: IntArray = np.zeros(0, dtype=np.int64)
        self._rank: IntArray = np.zeros(0, dtype=np.int64)
        self._lengths: IntArray = np.zeros(0, dtype=np.int64)
        self._layout = Layout(0, 0)
        self._where: Tensor | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, module: nn.Module, context: Prefix, tokens: Tensor) -> Tensor:
        """As `Strands.add`."""
        k, said = tokens.shape
        opening = Strands(said)
        logits = opening.add(module, context, tokens)
        free = self._free_places(context)
        self._context += [context] * k
        self._lengths = np.append(self._lengths, np.full(k, said))
        if len(free) >= k:
            taken = np.array(free[:k], dtype=np.int64).reshape(k, 2)
            self._column, self._rank = (
                np.append(own, new) for own, new in zip((self._column, self._rank), taken.T, strict=True)
            )
            self._open_columns()
        else:
            self._lay_out()
        arena = self._hold()
        arena.take_rows(self._slots[len(self) - k :], opening.states())
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
        self._context = [self._context[row] for row in order]
        self._column, self._rank, self._lengths = (
            own[order] for own in (self._column, self._rank, self._lengths)
        )
        if len(order):
            used = set(self._column.tolist())
            self._columns = [context if i in used else None for i, context in enumerate(self._columns)]
            if lay_out(self._counts()).slots <= _WORTH_MOVING * self._shape().slots:
                self._lay_out()
            self._mark(self._hold())
        return order

    # ---- layout

    @property
    def _slots(self) -> IntArray:
        """[m] int64."""
        slots: IntArray = self._rank * self._layout.width + self._column
        return slots

    def _shape(self) -> Shape:
        """The smallest that holds the rows where they lie."""
        return Shape(
            self._layout.width,
            round_up(int(self._rank.max(initial=0)) + 1, least=ROWS, parts=2),
            round_up(int(self._lengths.max(initial=0)) + 1, least=ROOM),
            round_up(self._longest_context().length, least=LENGTH, parts=8),
        )

    def _longest_context(self) -> Prefix:
        return max(self._context, key=lambda context: context.length)

    def _counts(self) -> list[int]:
        """Rows behind each context in use."""
        return list(Counter(map(id, self._context)).values())

    def _free_places(self, context: Prefix) -> list[tuple[int, int]]:
        """Columns and ranks where rows behind a context could go without others being moved."""
        taken = set(zip(self._column.tolist(), self._rank.tolist(), strict=True))
        own = [i for i, held in enumerate(self._columns) if held is context]
        empty = [i for i in range(self._layout.width) if i >= len(self._columns) or self._columns[i] is None]
        places = ((column, rank) for column in own + empty for rank in range(self._layout.height))
        return [place for place in places if place not in taken]

    def _open_columns(self) -> None:
        """Copy contexts to columns that have rows and do not hold them yet."""
        arena = self._hold()
        self._columns += [None] * (self._layout.width - len(self._columns))
        for column, context in dict(zip(self._column.tolist(), self._context, strict=True)).items():
            if self._columns[column] is not context:
                arena.take_context(column, context)
                self._columns[column] = context

    def _lay_out(self) -> None:
        """Lay all rows out anew; those without a place yet are the last."""
        placed = len(self._column)
        before = self._slots
        self._layout = lay_out(self._counts())
        firsts: dict[int, list[int]] = {}  # rows by context
        for row, context in enumerate(self._context):
            firsts.setdefault(id(context), []).append(row)
        self._column, self._rank = (np.zeros(len(self), dtype=np.int64) for _ in range(2))
        column = 0
        for rows in firsts.values():
            places = np.arange(len(rows))
            self._column[rows] = column + places // self._layout.height
            self._rank[rows] = places % self._layout.height
            column = int(self._column[rows].max()) + 1
        self._columns = []
        self._hold().move_rows(before, self._slots[:placed])
        self._open_columns()

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
