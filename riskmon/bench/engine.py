"""`riskmon bench engine`: what an importance-sampled draw costs, by four ways, on one model and machine.

Same networks, prompt and number of draws in one run (`engine_ways.py`, `engine_continuous.py`), in turns; the figures
to compare are the ratios. A second part shows how riskmon's own cost grows, with the prompt once it has been run and
with the number of draws, and how near a step comes to what the memory's speed allows (`engine_floor.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from riskmon.bench.engine_cost import Cost
from riskmon.bench.engine_floor import Floor, render_floor
from riskmon.bench.engine_trial import OURS, WAYS, EngineBench, Trial, Trials
from riskmon.bench.engine_ways import WayFailed
from riskmon.bench.markdown import markdown_table
from riskmon.estimate.model import pick_device


@dataclass(frozen=True, slots=True)
class Row:
    """A way and its cost: seconds and bytes as `Cost`, of all draws together."""

    name: str
    cost: Cost


def run_engine_bench(bench: EngineBench, say: Callable[[str], None]) -> list[Row]:
    """Run and print.

    Raises:
        ConfigError: an option is out of range, or asks for more memory than there is.
        ModelUnavailable: the model or the device is not there.
    """
    trials = Trials(bench)
    size = f", {bench.layers} layers" if bench.layers else ""
    say(
        f"{Path(bench.model).name}{size}, {bench.dtype}, {_device_name(pick_device(bench.device))}: "
        f"{bench.draws} draws of {bench.tokens} tokens from a prompt of {bench.prompt}\n"
    )
    costs: dict[str, list[Cost]] = {way: [] for way in (*WAYS, OURS)}
    for _ in range(bench.rounds):
        for way in list(costs):
            try:
                costs[way].append(trials.run(partial(_cost, way=way)))
            except WayFailed as exc:
                say(f"left out: {exc}\n")
                del costs[way]
    rows = [Row(way, _median(own)) for way, own in costs.items()]
    say(render_ways(rows, bench.draws, bench.tokens))
    say("")
    for line in _growth(bench, trials):
        say(line)
    return rows


def render_ways(rows: list[Row], draws: int, cap: int) -> str:
    """The table of ways, riskmon's row last; a ratio above 1 is how many times cheaper riskmon is."""
    ours = rows[-1].cost.seconds
    header = ("way", "tokens/s", "ms per draw", "memory beyond the model, MiB", "ratio")
    cells = [
        (
            row.name if row.cost.pieces == 1 else f"{row.name}, in {row.cost.pieces} pieces",
            f"{draws * cap / row.cost.seconds:,.0f}",
            f"{1000 * row.cost.seconds / draws:,.1f}",
            "unknown" if row.cost.bytes is None else f"{row.cost.bytes / 2**20:,.0f}",
            f"{row.cost.seconds / ours:.2f}",
        )
        for row in rows
    ]
    return markdown_table(header, cells, ("way",))


def _growth(bench: EngineBench, trials: Trials) -> list[str]:
    """How the cost of draws grows behind a prompt that was run already, and how near a step comes to its floor."""
    n, cap = bench.draws, bench.tokens
    points = [(bench.prompt, n), (bench.prompt, 4 * n)]
    if bench.long:
        points += [(bench.short, n), (bench.long, n)]
    seconds, floor = trials.run(partial(_seconds_behind, points=points, rounds=bench.rounds))
    few, many, *behind = (statistics.median(column) for column in zip(*seconds, strict=True))
    lines = [f"{4 * n} draws against {n}: ratio {many / few:.2f}, a draw {many / few / 4:.2f}"]
    if bench.long:
        short, long = behind
        lines += [
            f"decoding behind {bench.short} tokens: {1e3 * short / (n * cap):.2f} ms per token",
            f"decoding behind {bench.long} tokens: {1e3 * long / (n * cap):.2f} ms per token, "
            f"ratio {long / short:.2f}",
        ]
    # The first token of an answer comes from the prompt's own pass.
    steps = max(1, cap - 1)
    return [*lines, render_floor(floor, few / steps)]


def _cost(trial: Trial, way: str) -> Cost:
    return trial.cost(way)


def _seconds_behind(
    trial: Trial, points: list[tuple[int, int]], rounds: int
) -> tuple[list[list[float]], Floor]:
    seconds = [[trial.cost_behind(length, draws).seconds for length, draws in points] for _ in range(rounds)]
    return seconds, trial.floor()


def _median(costs: list[Cost]) -> Cost:
    known = [cost.bytes for cost in costs if cost.bytes is not None]
    seconds = statistics.median(cost.seconds for cost in costs)
    return Cost(seconds, max(known) if known else None, costs[-1].pieces)


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, threads: {torch.get_num_threads()}, processor time"
