"""Attention of a step of fixed shapes, as transformers calls it.

It computes what `engines/local/attention.py` computes, with nothing that changes from step to step but the contents of
tensors: rows and contexts lie in buffers of fixed sizes (`arena.py`), and masks made from lengths say how much of them
counts.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface

from riskmon.estimate.engines.local.attend import Part, attend, merge
from riskmon.estimate.engines.local.attention import attention_named
from riskmon.estimate.engines.local.fixed.arena import Arena, Shape

NAME = "riskmon_fixed_shapes"


@dataclass(eq=False)
class Pass:
    """One forward pass.

    Attributes:
        arena, shape: where it reads, and how much of it.
        rows: [slots] int64, 0 ... slots - 1.
        own_mask: [slots, 1, 1, room]. context_mask: [contexts, 1, 1, length]. Added to scores.
    """

    arena: Arena
    shape: Shape
    rows: Tensor
    own_mask: Tensor
    context_mask: Tensor


# The pass under way. A plain object, since torch.compile does not follow context variables; networks of one process
# run one at a time.
_under_way: list[Pass] = []


def fixed_attention(module: nn.Module) -> AbstractContextManager[None]:
    """Let a network's attention be the one below, until the block ends."""
    return attention_named(module, NAME)


def begin(under_way: Pass) -> None:
    """The pass that the next forward pass is; `end` follows it."""
    _under_way.append(under_way)


def end() -> None:
    """The pass is over, however it ended."""
    _under_way.clear()


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None = None,
    scaling: float | None = None,
    **_extras: object,
) -> tuple[Tensor, None]:
    """One layer's attention.

    Args:
        query: [slots, query heads, 1, d]. key, value: [slots, heads, room, d], the rows' own.

    Returns:
        [slots, 1, query heads, d].
    """
    now = _under_way[-1]
    slots, query_heads, _, width = query.shape
    heads = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    folded = query.view(slots, heads, query_heads // heads, width)
    own = attend(folded, key, value, scale, now.own_mask)
    joined = merge(own, _context_part(folded, now, module.layer_idx, scale))
    return joined.reshape(slots, 1, query_heads, -1), None


def _context_part(folded: Tensor, now: Pass, layer: int, scale: float) -> Part:
    """Attention over each row's context: all rows behind one are one matrix of queries."""
    contexts, rows, _, length = now.shape
    _, heads, group, width = folded.shape
    query = folded.view(rows, contexts, heads, group, width).permute(1, 2, 0, 3, 4)
    keys, values = (
        held[layer][:contexts, :, :length] for held in (now.arena.context_keys, now.arena.context_values)
    )
    out, lse = attend(
        query.reshape(contexts, heads, rows * group, width), keys, values, scale, now.context_mask
    )
    out = out.reshape(contexts, heads, rows, group, -1).permute(2, 0, 1, 3, 4)
    lse = lse.reshape(contexts, heads, rows, group).permute(2, 0, 1, 3)
    return Part(out.reshape(folded.shape[0], heads, group, -1), lse.reshape(folded.shape[:-1]))


AttentionInterface.register(NAME, _attention)
