"""The other way: every row gets a copy of its context's cache, for networks whose attention cannot be shared.

Sliding windows, capped scores, attention sinks, position biases and caches of other kinds have rules of their own,
which transformers follows when a row's cache is whole. Memory and time then grow with the context for every row, all
rows must follow one context, and must have said equally much.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from riskmon.estimate.engines.local.prefix import Prefix, extend
from riskmon.records import BoolArray, IntArray


class Copies:
    """Rows in step behind one context under one network; what `Strands` does, with copies."""

    def __init__(self, room: int) -> None:
        """Begin without rows.

        Args:
            room: tokens that will be run behind the context; more may be.
        """
        self._room = room
        self._rows = 0
        self._position = 0
        self._cache: DynamicCache | None = None

    def __len__(self) -> int:
        return self._rows

    def add(self, module: nn.Module, context: Prefix, tokens: Tensor) -> Tensor:
        """As `Strands.add`; only once, while there are no rows."""
        self._rows, said = tokens.shape
        self._position = context.length + said
        self._cache = context.spread(self._rows, self._room)
        if said == 0:
            return context.logits.expand(self._rows, -1)
        return extend(module, self._cache, tokens, context.length)[:, -1]

    def step(self, module: nn.Module, tokens: Tensor) -> Tensor:
        """As `Strands.step`."""
        assert self._cache is not None
        self._position += 1
        return extend(module, self._cache, tokens.unsqueeze(1), self._position - 1)[:, -1]

    def keep(self, stays: BoolArray) -> IntArray:
        """As `Strands.keep`; the order stays."""
        assert self._cache is not None
        order = np.flatnonzero(stays)
        self._rows = len(order)
        self._cache.batch_select_indices(torch.from_numpy(order))
        return order


def score_copies(module: nn.Module, context: Prefix, tokens: Tensor) -> Tensor:
    """As `strands.score_behind`."""
    n, t = tokens.shape
    return extend(module, context.spread(n, t), tokens, context.length)
