"""The least time a decoding step can take on a device: what it must read, over how fast the device reads.

A step reads the weights once for all rows, the keys and values of each context once, and every row's own:

    floor = (weights + contexts + rows * (T - 1) / 2 * bytes of a token) / bandwidth

where T is the length of an answer, since a row's own keys grow from none to T - 1. The target and the variant share
their weights here, and each reads a context and rows of its own. Bandwidth is measured by copying: the device's own,
without faith in a data sheet. Where arithmetic binds, as on a CPU, the floor is far below what can be reached.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from riskmon.estimate.engines.local.prefix import open_prefix
from riskmon.estimate.experts import Expert
from riskmon.estimate.model import LanguageModel
from riskmon.records import Prompt

_COPIED_BYTES = {"cuda": 2**30, "cpu": 2**27}
_COPIES = 10


@dataclass(frozen=True, slots=True)
class Floor:
    """What one step reads.

    Attributes:
        weights, contexts, rows: bytes. bandwidth: bytes per second.
    """

    weights: int
    contexts: int
    rows: int
    bandwidth: float

    @property
    def seconds(self) -> float:
        """Of one step."""
        return (self.weights + self.contexts + self.rows) / self.bandwidth


@torch.inference_mode()
def step_floor(model: LanguageModel, experts: tuple[Expert, ...], prompt: Prompt, n: int, cap: int) -> Floor:
    """Of n draws of `cap` tokens, all under every expert; the experts share the target's weights."""
    contexts = [open_prefix(model.module, expert.context(prompt), model.device) for expert in experts]
    per_token = contexts[0].nbytes / contexts[0].length
    return Floor(
        weights=weights_read(model),
        contexts=sum(context.nbytes for context in contexts),
        rows=round(len(experts) * n * per_token * (cap - 1) / 2),
        bandwidth=measured_bandwidth(model.device),
    )


def measured_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a large copy, the best of some."""
    source = torch.zeros(_COPIED_BYTES[device.type], dtype=torch.uint8, device=device)
    copy = torch.empty_like(source)
    best = float("inf")
    for _ in range(_COPIES):
        _wait(device)
        started = time.perf_counter()
        copy.copy_(source)
        _wait(device)
        best = min(best, time.perf_counter() - started)
    return 2 * source.nbytes / best


def render_floor(floor: Floor, seconds_per_step: float) -> str:
    """One line: what a step reads, how long that takes at least, and how long it took."""
    parts = [f"{part / 2**20:,.0f}" for part in (floor.weights, floor.contexts, floor.rows)]
    return (
        f"a step reads {parts[0]} MiB of weights, {parts[1]} of contexts and {parts[2]} of rows; "
        f"at {floor.bandwidth / 1e9:,.0f} GB/s (a copy, measured) that is {1e3 * floor.seconds:,.2f} ms. "
        f"It took {1e3 * seconds_per_step:,.2f} ms: {floor.seconds / seconds_per_step:.0%} of the floor's speed"
    )


def weights_read(model: LanguageModel) -> int:
    """Bytes of all weights but the table of input embeddings, unless it is the output's too.

    Of that table a step reads a row per token.
    """
    module: Any = model.module
    inputs = module.get_input_embeddings().weight
    total: int = sum(weights.nbytes for weights in module.parameters())
    return total if inputs is module.get_output_embeddings().weight else total - int(inputs.nbytes)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
