"""The commands that come before the daemon runs: rules, doctor, check-config."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, load_settings


def rules(
    config: ConfigOption = DEFAULT_CONFIG,
    out: Annotated[Path | None, typer.Option(help="File to write; standard output when not given.")] = None,
) -> None:
    """Write Prometheus recording and alerting rules, from the section `rules` and the schedules."""
    settings = load_settings(config)
    from riskmon.publish.rules import write_rules

    write_rules(settings, out, typer.echo)


def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    no_model: Annotated[
        bool, typer.Option("--no-model", help="Leave out what loads a model or asks a judge.")
    ] = False,
) -> None:
    """Check everything that `riskmon run` needs, and say what a cycle will cost; exits with 1 if a check failed."""
    settings = load_settings(config)
    from riskmon.doctor import run_doctor

    raise typer.Exit(run_doctor(settings, config, with_model=not no_model, now=datetime.now(UTC)))


def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Check a configuration file without loading anything."""
    settings = load_settings(file)
    from riskmon.doctor.settings import describe, missing_calibrations

    typer.echo(f"{file} is valid: {describe(settings)}")
    for sentence in missing_calibrations(settings):
        typer.echo(f"warning: {sentence}", err=True)
