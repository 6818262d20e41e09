"""A device's memory: what is free of it, and giving back that of a model before another one is loaded."""

from __future__ import annotations

import gc

import torch


def release_memory() -> None:
    """Collect what nothing refers to any more, and return the device's freed blocks to the driver.

    Modules with hooks and adapters refer to themselves in cycles, so leaving a scope alone frees nothing.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that this process could still take; 0 elsewhere."""
    if device.type != "cuda":
        return 0
    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds in reserve is not free to others, but is to us.
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
