"""How many rows fit: memory is looked at once, and the batch chosen from it.

A row holds, under every network that its job needs, keys and values of its own tokens (and of its context where they
cannot be shared), and while a token is drawn a few arrays as wide as the vocabulary. On CUDA a share of what is free
may be taken; the rest is for activations, for the kernels and for others on the GPU. On the CPU a few gigabytes, and
never more rows than make a matrix product efficient: further ones would only wait longer in memory.

Steps of fixed shapes take more: rows, contexts and tokens are rounded up, and logits are held a second and a third
time, by the recordings and while rows are picked from them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from riskmon.estimate.engines.local.fixed.layout import PADDING
from riskmon.estimate.engines.local.fixed.sizes import ROOM, ROWS, round_down, round_up
from riskmon.estimate.engines.local.prefix import Prefix
from riskmon.estimate.memory import free_bytes

_CPU_BYTES = 4 * 2**30
_CPU_ROWS = 256
# Arrays of a row as wide as the vocabulary: logits per network, scores and a distribution function in float64.
_WIDE_BYTES_PER_NETWORK, _WIDE_BYTES = 4, 24
_FIXED_WIDE_BYTES_PER_NETWORK = 12


@dataclass(frozen=True, slots=True)
class Memory:
    """What a device has for rows.

    Attributes:
        bytes: for their caches and logits. rows: most of them; None for no limit.
    """

    bytes: int
    rows: int | None


def probe(device: torch.device, share: float) -> Memory:
    """Memory that rows may take, beside the weights that are loaded already.

    Args:
        share: of what is free on a GPU.
    """
    if device.type != "cuda":
        return Memory(_CPU_BYTES, _CPU_ROWS)
    return Memory(int(share * free_bytes(device)), None)


def rows_that_fit(
    memory: Memory,
    context: Prefix,
    networks: int,
    vocab_size: int,
    max_new_tokens: int,
    *,
    shared: bool,
    fixed: bool = False,
    alone: bool = True,
) -> int:
    """Rows of a batch, at least 1.

    Args:
        context: any context; what a token's keys and values take is read off it.
        networks: experts with a network of their own, the target included.
        shared: whether rows share the context's keys and values.
        fixed: whether steps have fixed shapes; only where contexts are shared. alone: whether all rows are of one
            prompt.
    """
    fixed = fixed and shared
    per_token = context.nbytes / context.length
    tokens = max_new_tokens + (0 if shared else context.length)
    wide = _WIDE_BYTES_PER_NETWORK
    if fixed:
        tokens, wide = round_up(tokens, least=ROOM, parts=2), _FIXED_WIDE_BYTES_PER_NETWORK
    # Rows behind one context fill their slots at the rounded size; those behind several cannot all.
    slots = PADDING if fixed and not (alone and networks == 1) else 1
    per_row = slots * networks * (tokens * per_token + wide * vocab_size) + _WIDE_BYTES * vocab_size
    fit = max(1, int(memory.bytes // per_row))
    fit = fit if memory.rows is None else min(fit, memory.rows)
    return round_down(fit, least=ROWS, parts=2) if fixed else fit
