"""Attention over one part of a row's keys, and the merging of two parts.

Softmax attention over keys that lie in two places is exact when each part also gives the log-sum-exp of its scores:

    o_i = sum_j softmax(s_i)_j v_j,   l_i = log sum_j exp(s_ij)
    o = (exp(l_1) o_1 + exp(l_2) o_2) / (exp(l_1) + exp(l_2))

Scores, sums and the merge are float32, whatever the keys are. On the CPU and on CUDA torch's own fused kernels do the
work and give l besides o; they never hold a row of scores as a whole. Elsewhere, and in float64, it is written out.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

_FUSED_ON_CPU = (torch.float32, torch.bfloat16, torch.float16)
_HALF = (torch.bfloat16, torch.float16)


class Part(NamedTuple):
    """Attention over some of the keys.

    Attributes:
        out: [..., d], weighted mean of their values.
        lse: [...], log-sum-exp of their scores, at least float32.
    """

    out: Tensor
    lse: Tensor


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    scale: float,
    mask: Tensor | None = None,
    *,
    causal: bool = False,
) -> Part:
    """Attention over these keys.

    Args:
        query: [n, heads, q, d]. keys, values: [n, heads, k, d].
        scale: factor of the scores.
        mask: added to the scores, [n, 1 or heads, 1 or q, k]; every query must have a key that it leaves.
        causal: query i sees keys 0 ... i; with q = k and no mask.

    Returns:
        [n, heads, q, d] and [n, heads, q].
    """
    if query.device.type == "cpu" and query.dtype in _FUSED_ON_CPU:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, keys, values, 0.0, causal, attn_mask=mask, scale=scale
        )
        return Part(out, lse)
    if query.device.type == "cuda" and query.dtype in (*_HALF, torch.float32):
        return _attend_on_cuda(query, keys, values, scale, mask, causal)
    return _attend_plainly(query, keys, values, scale, mask, causal)


def merge(one: Part, other: Part) -> Tensor:
    """Attention over the keys of both parts: [..., d], in the dtype of `one.out`."""
    lse = torch.logaddexp(one.lse, other.lse)
    shares = ((part.lse - lse).exp_().unsqueeze(-1) for part in (one, other))
    joined = sum(part.out * share for part, share in zip((one, other), shares, strict=True))
    assert isinstance(joined, Tensor)
    return joined.to(one.out.dtype)


def _attend_on_cuda(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, mask: Tensor | None, causal: bool
) -> Part:
    if mask is None and query.dtype in _HALF:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(
            query, keys, values, 0.0, causal, False, scale=scale
        )
        return Part(out, lse)
    if mask is not None:
        # The kernel reads a mask in whole vectors: its rows begin at multiples of sixteen.
        longest = keys.shape[-2]
        padded = nn.functional.pad(mask.to(query.dtype), (0, -longest % 16))
        mask = padded[..., :longest].expand(*query.shape[:-1], longest)
    out, lse, *_ = torch.ops.aten._scaled_dot_product_efficient_attention(
        query, keys, values, mask, True, 0.0, causal, scale=scale
    )
    return Part(out, lse[..., : query.shape[-2]])  # the kernel pads its rows


def _attend_plainly(
    query: Tensor, keys: Tensor, values: Tensor, scale: float, mask: Tensor | None, causal: bool
) -> Part:
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = query.to(wide) @ keys.to(wide).transpose(-1, -2) * scale
    if mask is not None:
        scores = scores + mask
    if causal:
        behind = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(behind, float("-inf"))
    lse = scores.logsumexp(-1)
    out = (scores - lse.unsqueeze(-1)).exp() @ values.to(wide)
    return Part(out.to(query.dtype), lse)
