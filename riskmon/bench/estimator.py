"""`riskmon bench estimator`: brute force, the published method and riskmon side by side.

Same worlds, same judge, same budget of tokens; errors are against the exact truth. No clock is read, so the figures do
not depend on the machine. Out come a table and a picture.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from riskmon.bench.plot import render_plot, require_matplotlib
from riskmon.bench.published import PublishedMethod
from riskmon.bench.runs import published_runs, riskmon_cycles
from riskmon.bench.scores import COLD, LEARNT, PUBLISHED, Score, score_brute_force, score_outcomes
from riskmon.bench.table import render_table
from riskmon.bench.worlds import CATALOGUE, World, build_world, check_names
from riskmon.errors import ConfigError
from riskmon.estimate.opening import open_session

TABLE_FILE = "bench-estimator.md"
PLOT_FILE = "bench-estimator.svg"


@dataclass(frozen=True, slots=True)
class EstimatorBench:
    """What is run.

    Attributes:
        runs: repeats of each method on each world. samples: riskmon's draws per estimate. seed: root of all streams.
        worlds: names of the catalogue.
    """

    runs: int = 200
    samples: int = 500
    seed: int = 0
    worlds: tuple[str, ...] = tuple(CATALOGUE)

    def __post_init__(self) -> None:
        if self.runs < 2:
            raise ConfigError(f"--runs is {self.runs}; an error needs at least 2 repeats")
        if self.samples < 4:
            raise ConfigError(f"--samples is {self.samples}; at least 4 draws are needed")
        if not self.worlds:
            raise ConfigError(f"no world was named; choose from {', '.join(CATALOGUE)}")
        check_names(self.worlds)


QUICK = EstimatorBench(runs=10, samples=200, worlds=("covered-1e-4", "missed-5e-3"))
"""A run of half a minute that shows that everything works; its figures are rough."""


def run_bench(
    bench: EstimatorBench, out: Path | None, say: Callable[[str], None], done: Callable[[], None]
) -> list[Score]:
    """Measure, say the table, and write table and picture.

    Args:
        out: folder for bench-estimator.md and bench-estimator.svg, created where needed; None writes neither.
        say: takes lines for people.
        done: called 2 * runs times per world, for a progress bar.

    Raises:
        ConfigError: `out` cannot be written, or matplotlib is not installed.
    """
    if out is not None:
        require_matplotlib()
        _prepare(out)
    # The models are so small that a second thread only waits.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scores: list[Score] = []
        for name in bench.worlds:
            with tempfile.TemporaryDirectory(prefix="riskmon-bench-") as folder:
                scores += score_world(build_world(name, Path(folder)), bench, done)
    finally:
        torch.set_num_threads(threads)
    table = render_table(scores)
    say(f"{bench.runs} runs of {bench.samples} draws on each world, seed {bench.seed}")
    say(table)
    if out is not None:
        (out / TABLE_FILE).write_text(table + "\n")
        (out / PLOT_FILE).write_bytes(render_plot(scores))
        say(f"written: {out / TABLE_FILE}, {out / PLOT_FILE}")
    return scores


def score_world(world: World, bench: EstimatorBench, done: Callable[[], None]) -> list[Score]:
    """All methods on one world: brute force, the published method, riskmon's first and third cycle."""
    config = world.config(samples=bench.samples, seed=bench.seed)
    session = open_session(config)
    cold, learnt = riskmon_cycles(session, range(bench.runs), done)
    budget = float(np.mean([outcome.tokens for outcome in learnt]))
    published = published_runs(PublishedMethod(session, config), range(bench.runs), budget, bench.seed, done)
    return [
        score_brute_force(world, budget),
        score_outcomes(world, PUBLISHED, published),
        score_outcomes(world, COLD, cold),
        score_outcomes(world, LEARNT, learnt),
    ]


def parse_worlds(text: str) -> Sequence[str]:
    """Names of a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"cannot write to {out}: {exc.strerror}; give another --out") from exc
