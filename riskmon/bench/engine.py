"""`riskmon bench engine`: what an importance-sampled draw costs, by three ways, on one model and machine.

Same networks, prompt and number of draws in one run (`engine_ways.py`); the figures to compare are the ratios. A second
part shows how riskmon's own cost grows: with the prompt, once it has been run, and with the number of draws.
"""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from riskmon.bench.engine_cost import Cost, measure
from riskmon.bench.engine_models import (
    build_experts,
    build_model,
    random_prompt,
)
from riskmon.bench.engine_ways import build_engine, draw_with_engine, generate_and_rescore, published_loop
from riskmon.bench.markdown import markdown_table
from riskmon.errors import ConfigError
from riskmon.estimate.engines.local.engine import LocalEngine
from riskmon.estimate.model import pick_device
from riskmon.records import Prompt

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class EngineBench:
    """What is run.

    Attributes:
        model: a shape (random weights), or a folder or hub id. layers: as many of the shape's layers; None for all.
        dtype, device: of the model.
        draws: N. tokens: T of each. prompt: tokens of the prompt. rounds: repeats; medians are shown.
        short, long: prompts of the comparison of lengths; no comparison where `long` is 0.
    """

    model: str
    layers: int | None = None
    dtype: str = "float32"
    device: str = "auto"
    draws: int = 64
    tokens: int = 32
    prompt: int = 200
    rounds: int = 1
    short: int = 512
    long: int = 4096

    def __post_init__(self) -> None:
        if self.dtype not in _DTYPES:
            raise ConfigError(f"--dtype is {self.dtype!r}; it must be one of {', '.join(_DTYPES)}")


@dataclass(frozen=True, slots=True)
class Row:
    """A way and its cost: seconds and bytes as `Cost`, of all draws together."""

    name: str
    cost: Cost


def run_engine_bench(bench: EngineBench, say: Callable[[str], None]) -> list[Row]:
    """Run and print.

    Raises:
        ConfigError: an option is out of range.
        ModelUnavailable: the model or the device is not there.
    """
    device = pick_device(bench.device)
    model = build_model(bench.model, device, _DTYPES[bench.dtype], bench.layers)
    experts = build_experts(model)
    engine = build_engine(model, experts, bench.tokens)
    n, cap = bench.draws, bench.tokens
    size = f", {bench.layers} layers" if bench.layers else ""
    say(
        f"{Path(bench.model).name}{size}, {bench.dtype}, {_device_name(device)}: "
        f"{n} draws of {cap} tokens from a prompt of {bench.prompt}\n"
    )
    draw_with_engine(engine, random_prompt(model, 8), 2, cap)  # what is done once a process is nobody's cost
    ways: dict[str, Callable[[], object]] = {
        "two-pass loop": lambda: published_loop(model, experts, random_prompt(model, bench.prompt), n, cap),
        "generate + rescoring": lambda: generate_and_rescore(
            model, experts, random_prompt(model, bench.prompt), n, cap
        ),
        "riskmon": lambda: draw_with_engine(engine, random_prompt(model, bench.prompt), n, cap),
    }
    rows = [Row(name, _median(work, device, bench.rounds)) for name, work in ways.items()]
    say(render_ways(rows, n, cap))
    if bench.long:
        say("")
        say(
            _growth(
                bench,
                lambda length, draws: _cost_of_draws(
                    engine, random_prompt(model, length), draws, bench, device
                ),
            )
        )
    return rows


def render_ways(rows: list[Row], draws: int, cap: int) -> str:
    """The table of ways, riskmon's row last; a ratio above 1 is how many times cheaper riskmon is."""
    ours = rows[-1].cost.seconds
    header = ("way", "tokens/s", "ms per draw", "memory beyond the model, MiB", "ratio")
    cells = [
        (
            row.name,
            f"{draws * cap / row.cost.seconds:,.0f}",
            f"{1000 * row.cost.seconds / draws:,.1f}",
            "unknown" if row.cost.bytes is None else f"{row.cost.bytes / 2**20:,.0f}",
            f"{row.cost.seconds / ours:.2f}",
        )
        for row in rows
    ]
    return markdown_table(header, cells, ("way",))


def _growth(bench: EngineBench, cost: Callable[[int, int], float]) -> str:
    """How the cost of draws grows behind a prompt that was run already."""
    n, cap = bench.draws, bench.tokens
    short, long = (cost(length, n) for length in (bench.short, bench.long))
    few, many = cost(bench.prompt, n), cost(bench.prompt, 4 * n)
    return "\n".join(
        [
            f"decoding behind {bench.short} tokens: {1e3 * short / (n * cap):.2f} ms per token",
            f"decoding behind {bench.long} tokens: {1e3 * long / (n * cap):.2f} ms per token, "
            f"ratio {long / short:.2f}",
            f"{4 * n} draws against {n}: ratio {many / few:.2f}, a draw {many / few / 4:.2f}",
        ]
    )


def _cost_of_draws(
    engine: LocalEngine, prompt: Prompt, draws: int, bench: EngineBench, device: torch.device
) -> float:
    """Seconds of some draws behind a prompt that was run before the clock starts."""
    draw_with_engine(engine, prompt, 2, bench.tokens)
    return _median(
        lambda: draw_with_engine(engine, prompt, draws, bench.tokens), device, bench.rounds
    ).seconds


def _median(work: Callable[[], object], device: torch.device, rounds: int) -> Cost:
    costs = []
    for _ in range(rounds):
        gc.collect()
        costs.append(measure(work, device))
    known = [cost.bytes for cost in costs if cost.bytes is not None]
    return Cost(statistics.median(cost.seconds for cost in costs), max(known) if known else None)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, threads: {torch.get_num_threads()}, processor time"
