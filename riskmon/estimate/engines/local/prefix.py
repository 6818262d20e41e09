"""A prompt's context, run once per expert; its KV cache is then shared by every draw and rescoring.

`open_prefix` prefills a single row. `spread` hands out copies of that row's cache for n rows, with the logits of the
first step, so that a 2,000-token context costs 2,000 tokens and not 2,000 per draw.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from riskmon.estimate.engines.local.attention import base_config
from riskmon.estimate.engines.local.kv_cache import RoomyLayer


@dataclass(frozen=True, eq=False)
class Prefix:
    """A prefilled context.

    Attributes:
        length: tokens of the context.
        cache: its KV cache, one row; never written to.
        logits: [V], of the first token of an answer.
    """

    length: int
    cache: DynamicCache
    logits: Tensor

    @cached_property
    def keys(self) -> list[Tensor]:
        """Per layer, [1, heads, length, d]."""
        layers: list[Any] = self.cache.layers
        return [layer.keys for layer in layers]

    @cached_property
    def values(self) -> list[Tensor]:
        """Per layer, [1, heads, length, d]."""
        layers: list[Any] = self.cache.layers
        return [layer.values for layer in layers]

    @property
    def nbytes(self) -> int:
        """Memory of its keys and values."""
        return sum(states.nbytes for states in (*self.keys, *self.values))

    def spread(self, rows: int, room: int = 0) -> DynamicCache:
        """A cache of its own for `rows` rows, each holding the context.

        Args:
            room: tokens that will be run behind the context; more may be.
        """
        cache = copy.copy(self.cache)
        cache.layers = [_spread_layer(layer, rows, room) for layer in self.cache.layers]
        return cache


def open_prefix(
    module: nn.Module, context: list[int], device: torch.device, padded: int | None = None
) -> Prefix:
    """Run a context once under a network.

    Args:
        padded: length to run it at, behind which nothing is kept; no token sees what comes after it. Networks whose
            cache is not of the plain kind run it as it is.
    """
    cache = DynamicCache(config=base_config(module))
    length = len(context)
    behind = (padded or length) - length if all(type(layer) is DynamicLayer for layer in cache.layers) else 0
    ids = torch.tensor([context + context[-1:] * behind], device=device)
    last = torch.tensor([length - 1], device=device) if behind else 1
    output = module(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=last)
    prefilled: Any = output.past_key_values
    if behind:
        for layer in prefilled.layers:
            layer.keys, layer.values = layer.keys[:, :, :length], layer.values[:, :, :length]
    return Prefix(length, prefilled, output.logits[0, -1])


def extend(module: nn.Module, cache: DynamicCache, tokens: Tensor, position: int) -> Tensor:
    """Run further tokens behind a cache, which grows in place.

    Args:
        tokens: [n, t] int64, the same number for every row.
        position: position of the first of them, context included.

    Returns:
        [n, t, V] logits.
    """
    n, t = tokens.shape
    positions = torch.arange(position, position + t, device=tokens.device).expand(n, t)
    output = module(input_ids=tokens, past_key_values=cache, position_ids=positions, use_cache=True)
    logits: Tensor = output.logits
    return logits


def _spread_layer(layer: Any, rows: int, room: int) -> Any:
    if type(layer) is DynamicLayer and layer.keys is not None and layer.values is not None:
        return RoomyLayer(layer.keys, layer.values, rows, room)
    # Layers of other kinds, such as sliding windows, keep less and have rules of their own.
    spread = copy.deepcopy(layer)
    spread.batch_repeat_interleave(rows)
    return spread
