"""A KV cache layer that grows in place.

transformers' own dynamic layer concatenates: every step copies all keys and values of every row, and with a long prompt
that costs more than the step's arithmetic. This one keeps room behind the last token and writes into it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values at the front of larger buffers.

    Attributes:
        keys, values: [n, heads, s, d], views of the buffers' first s places.
    """

    def __init__(self, keys: Tensor, values: Tensor, rows: int, room: int) -> None:
        """Take over one row's keys and values, [1, heads, s, d] each, for `rows` rows.

        Args:
            room: tokens that can be written before the buffers must be copied.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._buffers = tuple(_with_room(states, rows, room) for states in (keys, values))
        self._show(keys.shape[-2])

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write further keys and values, [n, heads, t, d] each; returns all of them."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            # Room for as much again, so that n tokens cost copies of order n and not n squared.
            self._buffers = tuple(
                _with_room(buffer[..., :start, :], len(buffer), end) for buffer in self._buffers
            )
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = states
        return self._show(end)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some of the rows, and the room behind them."""
        length = self.get_seq_length()
        self._buffers = tuple(buffer[indices] for buffer in self._buffers)
        self._show(length)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        keys, values = (buffer[..., :length, :] for buffer in self._buffers)
        self.keys, self.values = keys, values
        return keys, values


def _with_room(states: Tensor, rows: int, room: int) -> Tensor:
    """A copy of [1 or n, heads, s, d] for n rows, in a buffer of s + room places."""
    _, heads, length, width = states.shape
    buffer = torch.empty((rows, heads, length + room, width), dtype=states.dtype, device=states.device)
    buffer[..., :length, :] = states
    return buffer
