"""The commands that take a file of prompts and no traffic: estimate, sensitivity, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.interruption import resumable
from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, load_settings, with_estimate


def estimate(
    prompts: Annotated[Path, typer.Argument(help="Prompts, one JSON object a line; '-' is standard input.")],
    config: ConfigOption = DEFAULT_CONFIG,
    out: Annotated[
        Path | None, typer.Option(help="Where the estimates go; standard output when not given.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=4, help="Draws per prompt, instead of the configured number.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed, instead of the configured one.")] = None,
) -> None:
    """Estimate each prompt's probability of harm: one JSON line per prompt and harm."""
    settings = with_estimate(load_settings(config), samples_per_prompt=samples, seed=seed)
    from riskmon.batch import estimate_file

    raise typer.Exit(estimate_file(settings, prompts, out))


def sensitivity(
    prompts: Annotated[Path, typer.Argument(help="Prompts, one JSON object a line; '-' is standard input.")],
    config: ConfigOption = DEFAULT_CONFIG,
    variants: Annotated[
        int | None,
        typer.Option(min=2, max=1000, help="Rewordings per prompt, instead of the configured number."),
    ] = None,
    samples: Annotated[
        int | None, typer.Option(min=4, help="Draws per wording, instead of the configured number.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File for a JSON line per prompt and harm.")] = None,
    wordings: Annotated[Path | None, typer.Option(help="File for a JSON line per wording and harm.")] = None,
    texts: Annotated[
        Path | None, typer.Option(help="File for the wordings themselves, readable by you only.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Show how far each prompt's probability of harm moves under rewordings that keep its meaning."""
    settings = load_settings(config)
    given = {"variants": variants, "samples": samples}
    changed = {key: value for key, value in given.items() if value is not None}
    from riskmon.sensitivity.run import Outputs, sensitivity_file

    raise typer.Exit(
        sensitivity_file(
            settings,
            settings.sensitivity.model_copy(update=changed),
            prompts,
            Outputs(out, wordings, texts),
            as_json=as_json,
        )
    )


def compare(
    prompts: Annotated[
        Path,
        typer.Argument(help="Prompts, one JSON object a line; attributes.weight is what one stands for."),
    ],
    baseline: Annotated[
        Path, typer.Option(help="Configuration of the version that serves; its release section asks.")
    ],
    candidate: Annotated[Path, typer.Option(help="Configuration of the version to be released.")],
    state: Annotated[
        Path | None, typer.Option(help="File that keeps what was drawn, so that an interrupted run goes on.")
    ] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="File for the answer as JSON.")] = None,
) -> None:
    """Say whether a version of the model may ship: is it more harmful than the one that serves?

    Exit codes: 0 ship; 3 hold; 4 undecided; 1 failed while running; 2 you can fix it; 130 on Ctrl-C.
    """
    before = load_settings(baseline)
    from riskmon.config_file import load_config
    from riskmon.release.gate import compare_release

    after = load_config(candidate)

    def work() -> int:
        return compare_release(before, after, prompts, before.release, state=state, json_out=json_out)

    if state is None:
        raise typer.Exit(work())
    resumable(work)
