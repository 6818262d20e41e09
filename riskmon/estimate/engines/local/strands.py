"""Strands: rows that continue contexts under one network, each with keys and values of its own.

A strand is one row of a batch as one expert reads it. Strands of several contexts, and of different lengths, take their
steps in one forward pass; the contexts' keys and values are read in place (`attention.py`). A strand that is dropped
leaves a hole that one from the end is moved into, so a row that ends costs one small copy and nothing afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from riskmon.estimate.engines.local.attention import Followers, Sharing, sharing
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.records import BoolArray, IntArray


@dataclass
class _Cursor:
    """Where the forward pass under way writes.

    Attributes:
        slots: the strands that take part.
        places: [m] int64 each, every strand's slot and the place its token goes to; None where all go to the places
            from `start` on.
        stop: end of the longest strand. keep: whether what is written will be read again.
    """

    slots: slice = field(default_factory=lambda: slice(0, 0))
    places: tuple[Tensor, Tensor] | None = None
    start: int = 0
    stop: int = 0
    keep: bool = True


class _OwnLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """One layer's keys and values of all strands, in buffers [slots, heads, room, d]."""

    def __init__(self, cursor: _Cursor, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cursor = cursor
        self._room = room
        self.buffers: tuple[Tensor, ...] = ()

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Write [m, heads, t, d] each; returns all that these strands have said so far."""
        at = self._cursor
        if not at.keep:
            return key_states, value_states
        states = (key_states, value_states)
        self._make_room(states)
        for buffer, new in zip(self.buffers, states, strict=True):
            if at.places is None:
                buffer[at.slots, :, at.start : at.start + new.shape[2]] = new
            else:
                slots, places = at.places
                buffer[slots, :, places] = new[:, :, 0]
        keys, values = (buffer[at.slots, :, : at.stop] for buffer in self.buffers)
        return keys, values

    def get_seq_length(self) -> int:
        """Tokens before this pass, of the longest strand."""
        return self._cursor.start

    def move(self, holes: Tensor, movers: Tensor) -> None:
        """Copy strands into others' places."""
        for buffer in self.buffers:
            buffer[holes] = buffer[movers]

    def _make_room(self, states: tuple[Tensor, Tensor]) -> None:
        needs = (self._cursor.slots.stop, self._cursor.stop)
        held = (len(self.buffers[0]), self.buffers[0].shape[2]) if self.buffers else (0, self._room)
        if self.buffers and all(have >= need for have, need in zip(held, needs, strict=True)):
            return
        # Doubled where they had run full, so that n tokens cost copies of order n and not n squared.
        slots, room = (
            have if have >= need else max(need, 2 * have) for have, need in zip(held, needs, strict=True)
        )
        grown = []
        for i, new in enumerate(states):
            # Zeros, since what is masked is still multiplied: a number left there by chance may be none.
            buffer = new.new_zeros((slots, new.shape[1], room, new.shape[3]))
            if self.buffers:
                buffer[: held[0], :, : held[1]] = self.buffers[i]
            grown.append(buffer)
        self.buffers = tuple(grown)


class Strands:
    """Rows behind contexts under one network."""

    def __init__(self, room: int = 0) -> None:
        """Begin without rows.

        Args:
            room: tokens that will be run behind a context; more may be.
        """
        self._cursor = _Cursor()
        self._room = room
        self._cache: Any = None
        self._contexts: list[Prefix] = []
        self._context_of: IntArray = np.zeros(0, dtype=np.int64)  # [m]
        self._lengths: IntArray = np.zeros(0, dtype=np.int64)  # [m]
        self._groups: list[Followers] | None = None

    def __len__(self) -> int:
        return len(self._lengths)

    def add(self, module: nn.Module, context: Prefix, tokens: Tensor) -> Tensor:
        """Let further rows continue a context.

        Args:
            tokens: [k, s] int64, what each has said already; s may be 0.

        Returns:
            [k, V] logits, of each row's next token.
        """
        k, s = tokens.shape
        m = len(self)
        if context not in self._contexts:
            self._contexts.append(context)
        self._context_of = np.append(self._context_of, np.full(k, self._contexts.index(context)))
        self._lengths = np.append(self._lengths, np.full(k, s))
        self._groups = None
        if s == 0:
            return context.logits.expand(k, -1)
        self._set(slice(m, m + k), None, 0, s)
        return _block(module, self._cache_for(context), context, tokens, logits_to_keep=1)[:, -1]

    def step(self, module: nn.Module, tokens: Tensor) -> Tensor:
        """Every strand says one token more.

        Args:
            tokens: [m] int64.

        Returns:
            [m, V] logits, of each strand's next token.
        """
        m, device = len(self), tokens.device
        cache = self._cache_for(self._contexts[0])
        longest, shortest = int(self._lengths.max()), int(self._lengths.min())
        lengths = torch.from_numpy(self._lengths).to(device)
        ragged = shortest < longest
        places = (torch.arange(m, device=device), lengths) if ragged else None
        self._set(slice(0, m), places, longest, longest + 1)
        mask = None
        if ragged:
            beyond = torch.arange(longest + 1, device=device) > lengths.unsqueeze(1)
            keys = self._contexts[0].keys[0]
            mask = torch.zeros(beyond.shape, dtype=keys.dtype, device=device)
            mask = mask.masked_fill_(beyond, float("-inf"))[:, None, None]
        starts = np.array([context.length for context in self._contexts])[self._context_of]
        positions = torch.from_numpy(starts + self._lengths).to(device).unsqueeze(1)
        self._lengths = self._lengths + 1
        with sharing(module, Sharing(self._followers(device), mask)):
            output = module(
                input_ids=tokens.unsqueeze(1), past_key_values=cache, position_ids=positions, use_cache=True
            )
        logits: Tensor = output.logits[:, -1]
        return logits

    def keep(self, stays: BoolArray) -> IntArray:
        """Drop the strands where `stays` [m] is False.

        Returns:
            [m'] int64: the new strand i was strand order[i].
        """
        left = int(stays.sum())
        order = np.arange(left)
        holes, movers = np.flatnonzero(~stays[:left]), left + np.flatnonzero(stays[left:])
        order[holes] = movers
        if len(holes) and self._cache is not None:
            for layer in self._cache.layers:
                if layer.buffers:
                    device = layer.buffers[0].device
                    # Strands that have said nothing yet may lie behind the buffers' end.
                    inside = movers < len(layer.buffers[0])
                    layer.move(*(torch.from_numpy(places[inside]).to(device) for places in (holes, movers)))
        self._context_of, self._lengths = self._context_of[order], self._lengths[order]
        self._forget_contexts()
        self._groups = None
        return order

    def states(self) -> list[tuple[Tensor, Tensor]]:
        """Per layer the strands' own keys and values, [m, heads, s, d] each; none while none has said anything."""
        if self._cache is None:
            return []
        m, longest = len(self), int(self._lengths.max())
        return [
            (keys[:m, :, :longest], values[:m, :, :longest])
            for keys, values in (layer.buffers for layer in self._cache.layers)
        ]

    def _forget_contexts(self) -> None:
        used = np.unique(self._context_of)
        self._contexts = [self._contexts[i] for i in used]
        self._context_of = np.searchsorted(used, self._context_of)

    def _followers(self, device: torch.device) -> list[Followers]:
        if self._groups is None:
            several = len(self._contexts) > 1
            self._groups = [
                Followers(
                    context.keys,
                    context.values,
                    torch.from_numpy(np.flatnonzero(self._context_of == i)).to(device) if several else None,
                )
                for i, context in enumerate(self._contexts)
            ]
        return self._groups

    def _cache_for(self, context: Prefix) -> Any:
        if self._cache is None:
            self._cache = _own_cache(self._cursor, len(context.keys), self._room)
        return self._cache

    def _set(self, slots: slice, places: tuple[Tensor, Tensor] | None, start: int, stop: int) -> None:
        at = self._cursor
        at.slots, at.places, at.start, at.stop = slots, places, start, stop


def score_behind(module: nn.Module, context: Prefix, tokens: Tensor) -> Tensor:
    """Logits behind each token of rows that continue a context, in one pass that leaves nothing behind.

    Args:
        tokens: [n, t] int64.

    Returns:
        [n, t, V].
    """
    cursor = _Cursor(keep=False)
    return _block(module, _own_cache(cursor, len(context.keys), 0), context, tokens)


def _block(module: nn.Module, cache: Any, context: Prefix, tokens: Tensor, **options: int) -> Tensor:
    n, t = tokens.shape
    positions = torch.arange(context.length, context.length + t, device=tokens.device).expand(n, t)
    with sharing(module, Sharing([Followers(context.keys, context.values, None)], None)):
        output = module(
            input_ids=tokens, past_key_values=cache, position_ids=positions, use_cache=True, **options
        )
    logits: Tensor = output.logits
    return logits


def _own_cache(cursor: _Cursor, layers: int, room: int) -> Any:
    return Cache(layers=[_OwnLayer(cursor, room) for _ in range(layers)])
