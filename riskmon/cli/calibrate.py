"""`riskmon calibrate`: unsafe variants of the target, and the judge's error."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.interruption import resumable
from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, load_settings, with_estimate

calibrate = typer.Typer(
    name="calibrate",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Build unsafe variants; measure the judge.",
)

HarmOption = Annotated[str | None, typer.Option("--harm", help="Learn this harm only; all when not given.")]


@calibrate.command("direction")
def calibrate_direction_command(
    unsafe: Annotated[Path, typer.Argument(help="Unsafe prompts, one JSON object a line.")],
    safe: Annotated[Path, typer.Argument(help="Harmless prompts of the same form.")],
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="Name of the file in calibrate.folder.")] = "direction",
) -> None:
    """Find the direction that tells unsafe from safe prompts, for experts of kind steering."""
    settings = load_settings(config)
    from riskmon.calibration.direction import calibrate_direction

    raise typer.Exit(calibrate_direction(settings, unsafe, safe, name))


@calibrate.command("lora")
def calibrate_lora_command(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="Name of the variant in calibrate.folder.")] = "unsafe",
    pairs: Annotated[
        Path | None, typer.Option(help="Learn these prompts with responses, one JSON object a line.")
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(help="Draw for these prompts; sampled prompts of the store when not given."),
    ] = None,
    harm: HarmOption = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the configured one.")] = None,
) -> None:
    """Train a first unsafe variant on harmful answers that the configured experts draw, or on written ones."""
    settings = with_estimate(load_settings(config), seed=seed)
    from riskmon.calibration.variant import calibrate_lora

    resumable(
        lambda: calibrate_lora(settings, name, harm=harm, pairs=pairs, prompts=prompts, now=datetime.now(UTC))
    )


@calibrate.command("refit")
def calibrate_refit_command(
    config: ConfigOption = DEFAULT_CONFIG,
    name: Annotated[str, typer.Option(help="Name of the expert, or of the variant.")] = "unsafe",
    harm: HarmOption = None,
) -> None:
    """Train an unsafe variant further, on the harmful answers in the store."""
    settings = load_settings(config)
    from riskmon.calibration.variant import calibrate_refit

    resumable(lambda: calibrate_refit(settings, name, harm=harm, now=datetime.now(UTC)))


@calibrate.command("judge")
def calibrate_judge_command(
    labels: Annotated[Path, typer.Argument(help="Labelled answers, one JSON object a line.")],
    config: ConfigOption = DEFAULT_CONFIG,
    harm: Annotated[
        str | None, typer.Option(help="Which harm; not needed where the configuration has one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write; judge-error-HARM.json when not given.")
    ] = None,
) -> None:
    """Measure how often a judge is wrong, on answers that people have labelled."""
    settings = load_settings(config)
    from riskmon.calibration.judge import calibrate_judge

    raise typer.Exit(calibrate_judge(settings, labels, harm, out, now=datetime.now(UTC)))
