"""Giving back the memory of a model that is no longer needed, before another one is loaded."""

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
