"""How many rows fit: memory is looked at once, and the batch chosen from it.

A row holds, under every network that its job needs, keys and values of its own tokens (and of its context where they
cannot be shared), and while a token is drawn a few arrays as wide as the vocabulary. On CUDA a share of what is free
may be taken; the rest is for activations, for the kernels and for others on the GPU. On the CPU a few gigabytes, and
never more rows than make a matrix product efficient: further ones would only wait longer in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from riskmon.estimate.engines.local.prefix import Prefix

_CPU_BYTES = 4 * 2**30
_CPU_ROWS = 256
# Arrays of a row as wide as the vocabulary: logits per network, scores and a distribution function in float64.
_WIDE_BYTES_PER_NETWORK, _WIDE_BYTES = 4, 24


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
    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds in reserve is not free to others, but is to us.
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return Memory(int(share * (free + reserve)), None)


def rows_that_fit(
    memory: Memory, context: Prefix, networks: int, vocab_size: int, max_new_tokens: int, *, shared: bool
) -> int:
    """Rows of a batch, at least 1.

    Args:
        context: any context; what a token's keys and values take is read off it.
        networks: experts with a network of their own, the target included.
        shared: whether rows share the context's keys and values.
    """
    per_token = context.nbytes / context.length
    tokens = max_new_tokens + (0 if shared else context.length)
    per_row = (
        networks * (tokens * per_token + _WIDE_BYTES_PER_NETWORK * vocab_size) + _WIDE_BYTES * vocab_size
    )
    fit = max(1, int(memory.bytes // per_row))
    return fit if memory.rows is None else min(fit, memory.rows)
