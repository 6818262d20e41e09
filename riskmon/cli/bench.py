"""`riskmon bench`: measured where the truth is known."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import typer

from riskmon.errors import ModelUnavailable

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


@bench.command("engine")
def bench_engine_command(
    model: Annotated[
        str | None,
        typer.Option(
            help="A shape with random weights (tiny, smollm2-135m, qwen2.5-0.5b, llama-3.1-8b), or a folder or hub id. "
            "By default the demo's SmolLM2-135M where its package is installed, else its shape."
        ),
    ] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Only so many of the shape's layers.")] = None,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16.")] = "float32",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    draws: Annotated[int, typer.Option(min=2, help="Draws N.")] = 64,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens of each draw.")] = 32,
    prompt: Annotated[int, typer.Option(min=1, help="Tokens of the prompt.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Repeats; medians are shown.")] = 1,
    long: Annotated[int, typer.Option(min=0, help="Prompt compared with one of 512 tokens; 0: none.")] = 4096,
) -> None:
    """What an importance-sampled draw costs: the published loop, two ways of transformers' own, riskmon."""
    from riskmon.bench.engine import run_engine_bench
    from riskmon.bench.engine_trial import EngineBench

    run_engine_bench(
        EngineBench(
            model or _packaged_model(), layers, dtype, device, draws, tokens, prompt, rounds, long=long
        ),
        typer.echo,
    )


@bench.command("compare")
def bench_compare_command(
    plain: Annotated[Path, typer.Argument(help="Estimates by plain sampling: no experts, many draws.")],
    estimates: Annotated[Path, typer.Argument(help="Estimates of the same prompts, to be judged.")],
) -> None:
    """Compare two outputs of `riskmon estimate`, the first of them by plain sampling."""
    from riskmon.bench.compare import compare_files, render_comparison

    typer.echo(render_comparison(compare_files(plain, estimates)))


def _packaged_model() -> str:
    """Folder of the demo's model, or the name of its shape where its package is not installed."""
    from riskmon.demo.models import cache_folder, convert, package_folder

    if not cache_folder().is_dir():
        try:
            package_folder()
        except ModelUnavailable:
            return "smollm2-135m"
        convert(cache_folder())
    return str(cache_folder())
