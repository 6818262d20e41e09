"""One step of fixed shapes: every row says one token more.

It takes nothing and returns nothing: it reads the arena's tokens and lengths, writes their keys and values, and leaves
logits. No size, place or number of it changes while its shape stays the same, and nothing is read back to the host, so
that it can be recorded once and replayed. Run twice it writes the same twice. Slots without a row are computed along.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from riskmon.estimate.engines.local.fixed.arena import Arena, Shape
from riskmon.estimate.engines.local.fixed.attention import Pass, begin, end


class _SlotLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's own keys and values in an arena."""

    def __init__(self, keys: Tensor, values: Tensor, rows: Tensor, lengths: Tensor, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._buffers, self._rows, self._lengths, self._room = (keys, values), rows, lengths, room

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write [slots, heads, 1, d] each behind what the rows have said; returns [slots, heads, room, d]."""
        slots = len(self._rows)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[self._rows, :, self._lengths] = new[:, :, 0]
        keys, values = (buffer[:slots, :, : self._room] for buffer in self._buffers)
        return keys, values

    def get_seq_length(self) -> int:
        """Positions are given, so nobody counts from this."""
        return 0


def run_step(module: nn.Module, arena: Arena, shape: Shape) -> None:
    """Run the arena's first `shape.slots` rows one token on; within `fixed_attention`."""
    slots = shape.slots
    lengths = arena.lengths[:slots]
    context_lengths = arena.context_lengths[: shape.contexts]
    rows = torch.arange(slots, device=lengths.device)
    like = arena.keys[0]
    under_way = Pass(
        arena,
        shape,
        rows,
        _beyond(lengths + 1, shape.room, like),
        _beyond(context_lengths, shape.length, like),
    )
    layers: list[Any] = [
        _SlotLayer(keys, values, rows, lengths, shape.room)
        for keys, values in zip(arena.keys, arena.values, strict=True)
    ]
    positions = context_lengths.repeat(shape.rows) + lengths
    begin(under_way)
    try:
        output = module(
            input_ids=arena.tokens[:slots].unsqueeze(1),
            past_key_values=Cache(layers=layers),
            position_ids=positions.unsqueeze(1),
            use_cache=True,
        )
    finally:
        end()
    arena.logits[:slots] = output.logits[:, -1]


def _beyond(lengths: Tensor, size: int, like: Tensor) -> Tensor:
    """[n, 1, 1, size]: 0 below each length and -inf from there on."""
    beyond = torch.arange(size, device=lengths.device) >= lengths.unsqueeze(1)
    mask = torch.zeros(beyond.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill(beyond, float("-inf"))[:, None, None]
