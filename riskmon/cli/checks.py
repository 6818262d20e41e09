"""The commands that come before the daemon runs: rules, doctor, check-config."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, RoleOption, load_settings


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
    role: RoleOption = "all",
) -> None:
    """Check everything that `riskmon run` needs, and say what a cycle will cost; exits with 1 if a check failed."""
    settings = load_settings(config)
    from riskmon.doctor import run_doctor
    from riskmon.records import Role

    now = datetime.now(UTC)
    raise typer.Exit(run_doctor(settings, config, with_model=not no_model, now=now, role=Role(role)))


def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file.")] = DEFAULT_CONFIG,
    role: RoleOption = "all",
) -> None:
    """Check a configuration file without loading anything."""
    settings = load_settings(file)
    from riskmon.doctor.settings import describe, meeting_place, missing_calibrations
    from riskmon.records import Role

    typer.echo(f"{file} is valid: {describe(settings)}")
    if (told := meeting_place(settings, Role(role))) is not None:
        typer.echo(f"warning: {told}", err=True)
    for sentence in missing_calibrations(settings):
        typer.echo(f"warning: {sentence}", err=True)
