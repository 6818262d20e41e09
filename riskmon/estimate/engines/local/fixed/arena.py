"""The arena: all that a network's steps of fixed shapes read and write, at addresses that stay.

Rows lie in slots. With C columns, slot g * C + c holds the g-th row of column c, which reads one context: the first
G * C slots are the first G rows of every column, a shape of its own for each (C, G) without any copying. Contexts are
copied in, so that a recorded step serves the next prompt as well.

An arena outlives the batches it serves. It grows where it must; what was recorded over the old buffers is void then,
which `version` tells.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.records import IntArray


class Shape(NamedTuple):
    """What one step is laid out for; every number is a rounded one.

    Attributes:
        contexts: C, columns with a context each. rows: G, rows of each.
        room: tokens of a row's own that are read, the new one included. length: tokens of a context that are read.
    """

    contexts: int
    rows: int
    room: int
    length: int

    @property
    def slots(self) -> int:
        """Rows of the forward pass."""
        return self.contexts * self.rows


class Arena:
    """Buffers of one network's steps.

    Attributes:
        tokens, lengths: [slots] int64, each row's newest token and how many it had said before.
        context_lengths: [contexts] int64, at least 1.
        keys, values: per layer [slots, heads, room, d], the rows' own.
        context_keys, context_values: per layer [contexts, heads, length, d].
        logits: [slots, V], of each row's next token.
        version: changes when buffers are made anew.
    """

    def __init__(self, like: Prefix, shape: Shape) -> None:
        """Make room for a shape.

        Args:
            like: any context of the network; layers, heads, dtypes and device are read off it.
        """
        self.version = 0
        keys, values = ([states.shape for states in part] for part in (like.keys, like.values))
        self._dtype, self._device = like.keys[0].dtype, like.keys[0].device
        self._slots, self._contexts, self.room, self.length = (
            shape.slots,
            shape.contexts,
            shape.room,
            shape.length,
        )
        self.keys, self.values = (self._zeros(self._slots, self.room, part) for part in (keys, values))
        self.context_keys, self.context_values = (
            self._zeros(self._contexts, self.length, part) for part in (keys, values)
        )
        self.tokens, self.lengths = (self._numbers(self._slots) for _ in range(2))
        self.context_lengths = self._numbers(self._contexts) + 1
        self.logits = like.logits.new_zeros((self._slots, len(like.logits)))

    @property
    def nbytes(self) -> int:
        """Memory of all buffers."""
        buffers = (*self.keys, *self.values, *self.context_keys, *self.context_values, self.logits)
        return sum(buffer.nbytes for buffer in buffers)

    def make_room(self, shape: Shape) -> None:
        """Grow to hold a shape; what is in the arena stays."""
        if shape.slots > self._slots or shape.room > self.room:
            self._slots, self.room = max(shape.slots, self._slots), max(shape.room, self.room)
            self.keys, self.values = (
                self._grown(own, self._slots, self.room) for own in (self.keys, self.values)
            )
            self.tokens, self.lengths, self.logits = (
                _moved(old, old.new_zeros((self._slots, *old.shape[1:])))
                for old in (self.tokens, self.lengths, self.logits)
            )
            self.version += 1
        if shape.contexts > self._contexts or shape.length > self.length:
            self._contexts, self.length = max(shape.contexts, self._contexts), max(shape.length, self.length)
            self.context_keys, self.context_values = (
                self._grown(held, self._contexts, self.length)
                for held in (self.context_keys, self.context_values)
            )
            self.context_lengths = _moved(self.context_lengths, self._numbers(self._contexts) + 1)
            self.version += 1

    def take_context(self, column: int, context: Prefix) -> None:
        """Copy a context to its place."""
        for held, states in ((self.context_keys, context.keys), (self.context_values, context.values)):
            for buffer, own in zip(held, states, strict=True):
                buffer[column, :, : context.length] = own[0]
                buffer[column, :, context.length :] = 0
        self.context_lengths[column] = context.length

    def take_rows(self, slots: IntArray, states: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Copy what new rows have said to their slots.

        Args:
            states: per layer keys and values, [k, heads, s, d] each; none where nobody has said anything.
        """
        where = self.places(slots)
        for buffer in (*self.keys, *self.values):
            buffer[where] = 0  # what is masked is still multiplied, and must be a number
        for layer, (keys, values) in enumerate(states):
            self.keys[layer][where, :, : keys.shape[2]] = keys
            self.values[layer][where, :, : values.shape[2]] = values

    def move_rows(self, before: IntArray, after: IntArray) -> None:
        """Copy rows' own keys and values to other slots, all at once."""
        if (before == after).all():
            return
        source, goal = self.places(before), self.places(after)
        for buffer in (*self.keys, *self.values):
            buffer[goal] = buffer[source]

    def places(self, numbers: IntArray) -> Tensor:
        """Numbers as an index on the device."""
        return torch.from_numpy(numbers).to(self._device)

    def _numbers(self, n: int) -> Tensor:
        return torch.zeros(n, dtype=torch.int64, device=self._device)

    def _zeros(self, first: int, third: int, shapes: Sequence[torch.Size]) -> list[Tensor]:
        return [
            torch.zeros((first, heads, third, width), dtype=self._dtype, device=self._device)
            for _, heads, _, width in shapes
        ]

    def _grown(self, buffers: list[Tensor], first: int, third: int) -> list[Tensor]:
        """Larger ones, layer by layer, so that only one layer is held twice."""
        for layer, old in enumerate(buffers):
            buffers[layer] = _moved(old, old.new_zeros((first, old.shape[1], third, old.shape[3])))
        return buffers


def _moved(old: Tensor, new: Tensor) -> Tensor:
    new[tuple(slice(0, size) for size in old.shape)] = old
    return new
