"""`riskmon bench`: measured where the truth is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

bench = typer.Typer(
    name="bench",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure riskmon where the truth is known.",
)


@bench.command("estimator")
def bench_estimator_command(
    runs: Annotated[int | None, typer.Option(min=2, help="Repeats per method and world.")] = None,
    samples: Annotated[int | None, typer.Option(min=4, help="Draws per estimate.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Root of all random streams.")] = 0,
    worlds: Annotated[str | None, typer.Option(help="Names of worlds, with commas between them.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for table and picture.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Half a minute; rough figures.")] = False,
) -> None:
    """Compare riskmon with brute force and the published method on worlds of known truth."""
    from riskmon.bench.estimator import QUICK, EstimatorBench, parse_worlds, run_bench
    from riskmon.progress import progress

    whole = QUICK if quick else EstimatorBench()
    chosen = EstimatorBench(
        runs=runs or whole.runs,
        samples=samples or whole.samples,
        seed=seed,
        worlds=whole.worlds if worlds is None else tuple(parse_worlds(worlds)),
    )
    done = itertools.count(1)
    with progress("repeating", 2 * chosen.runs * len(chosen.worlds)) as report:
        run_bench(chosen, out, typer.echo, lambda: report(next(done), ""))


@bench.command("compare")
def bench_compare_command(
    plain: Annotated[Path, typer.Argument(help="Estimates by plain sampling: no experts, many draws.")],
    estimates: Annotated[Path, typer.Argument(help="Estimates of the same prompts, to be judged.")],
) -> None:
    """Compare two outputs of `riskmon estimate`, the first of them by plain sampling."""
    from riskmon.bench.compare import compare_files, render_comparison

    typer.echo(render_comparison(compare_files(plain, estimates)))
