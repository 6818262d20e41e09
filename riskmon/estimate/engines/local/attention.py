"""Attention in which all rows behind one context read its keys and values once.

Rows that continue the same prompt differ only in what they have said. transformers lets a caller name the attention
function of a model (`AttentionInterface`); the one registered here takes a row's keys in two parts:

- the context's, held once [1, heads, P, d]: the queries of all rows behind it, and of all query heads that share a
  key head, are one matrix, multiplied with it once;
- the row's own, [n, heads, s, d]: attention row by row, over a few dozen tokens.

The parts are merged by log-sum-exp (`attend.py`). It is in force only inside `sharing`; outside it a model is as it
was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from riskmon.estimate.engines.local.attend import Part, attend, merge

NAME = "riskmon_shared_context"
# What attention functions are told of biases, windows, caps and sinks; `None` or absent where a model has none.
_BEYOND = ("sliding_window", "softcap", "s_aux", "position_bias")


class UnknownAttention(Exception):
    """This model's attention does more than a softmax over the keys before a token."""


@dataclass(frozen=True, eq=False)
class Followers:
    """The rows behind one context.

    Attributes:
        keys, values: per layer [1, heads, P, d], the context's.
        rows: [r] int64, their places in the batch; None when all rows follow it.
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    rows: Tensor | None


@dataclass(frozen=True, eq=False)
class Sharing:
    """One forward pass of rows behind contexts.

    Attributes:
        groups: contexts with their rows; every row is in one.
        mask: [n, 1, 1, s], added to the scores of a row's own keys; None where all rows have said equally much.
    """

    groups: Sequence[Followers]
    mask: Tensor | None


_in_force: ContextVar[Sharing | None] = ContextVar("riskmon_sharing", default=None)


@contextmanager
def sharing(module: nn.Module, how: Sharing) -> Iterator[None]:
    """Let a network's attention read contexts once, until the block ends."""
    token = _in_force.set(how)
    try:
        with attention_named(module, NAME):
            yield
    finally:
        _in_force.reset(token)


@contextmanager
def attention_named(module: nn.Module, name: str) -> Iterator[None]:
    """Let a network's attention be the one registered under a name, until the block ends."""
    config = base_config(module)
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


def base_config(module: nn.Module) -> Any:
    """The network's own configuration, also where an adapter wraps it."""
    get_base = getattr(module, "get_base_model", None)
    return (get_base() if get_base is not None else module).config


def _shared_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    _attention_mask: Tensor | None = None,
    scaling: float | None = None,
    **extras: Any,
) -> tuple[Tensor, None]:
    """One layer's attention, as transformers calls it.

    Args:
        query: [n, query heads, t, d]. key, value: [n, heads, s, d], the rows' own: either t = 1, and these are all so
            far, or the rows had said nothing yet and s = t.

    Returns:
        [n, t, query heads, d].

    Raises:
        UnknownAttention: the model asks for what is not done here.
    """
    how = _in_force.get()
    if how is None or any(extras.get(name) is not None for name in _BEYOND):
        raise UnknownAttention
    n, query_heads, t, width = query.shape
    heads = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    folded = query.view(n, heads, query_heads // heads, t, width)
    own = _own_part(folded, key, value, scale, how.mask)
    context = _context_part(folded, how.groups, module.layer_idx, scale)
    joined = merge(own, context)  # [n, heads, group, t, d]
    return joined.flatten(1, 2).transpose(1, 2).contiguous(), None


def _own_part(folded: Tensor, key: Tensor, value: Tensor, scale: float, mask: Tensor | None) -> Part:
    """Attention over what each row has said: [n, heads, group, t, ...]."""
    _, heads, group, t, _ = folded.shape
    if t == 1:
        out, lse = attend(folded.squeeze(3), key, value, scale, mask)
        return Part(out.unsqueeze(3), lse.unsqueeze(3))
    keys, values = (
        states.repeat_interleave(group, dim=1) if group > 1 else states for states in (key, value)
    )
    out, lse = attend(folded.flatten(1, 2), keys, values, scale, causal=True)
    return Part(*(states.reshape(-1, heads, group, *states.shape[2:]) for states in (out, lse)))


def _context_part(folded: Tensor, groups: Sequence[Followers], layer: int, scale: float) -> Part:
    """Attention over the contexts: [n, heads, group, t, ...]."""
    parts = []
    for followers in groups:
        rows = folded if followers.rows is None else folded[followers.rows]
        shape = (rows.shape[1], rows.shape[0], *rows.shape[2:4])  # heads first
        query = rows.transpose(0, 1).reshape(1, shape[0], -1, rows.shape[-1])
        out, lse = attend(query, followers.keys[layer], followers.values[layer], scale)
        parts.append(Part(out.view(*shape, -1).transpose(0, 1), lse.reshape(shape).transpose(0, 1)))
    if groups[0].rows is None:
        return parts[0]
    places = torch.cat([followers.rows for followers in groups if followers.rows is not None])
    outs, lses = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
    whole = Part(torch.empty_like(outs), torch.empty_like(lses))
    whole.out[places], whole.lse[places] = outs, lses
    return whole


AttentionInterface.register(NAME, _shared_attention)
