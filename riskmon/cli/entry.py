"""All commands in the order of the help, and the way from an error to an exit code and one sentence."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from riskmon.cli.bench import bench
from riskmon.cli.calibrate import calibrate
from riskmon.cli.checks import check_config, doctor, rules
from riskmon.cli.demo import demo
from riskmon.cli.ingest import ingest
from riskmon.cli.interruption import INTERRUPTED, Interrupted, watch_interrupt
from riskmon.cli.keys import rotate_key
from riskmon.cli.production import forecast, report, run
from riskmon.cli.prompts import compare, estimate, sensitivity
from riskmon.cli.upkeep import backup
from riskmon.errors import RiskmonError, UserError

log = logging.getLogger(__name__)

app = typer.Typer(
    name="riskmon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from riskmon import __version__

        typer.echo(f"riskmon {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Forecast how many harmful outputs a deployed language model will produce tomorrow."""


for command in (
    run,
    estimate,
    ingest,
    forecast,
    sensitivity,
    report,
    doctor,
    compare,
    rules,
    check_config,
    backup,
    rotate_key,
    demo,
):
    app.command()(command)
app.add_typer(calibrate)
app.add_typer(bench)


def _say(exc: RiskmonError) -> None:
    """One sentence; where the logs are JSON, a line of them, since a collector reads to the end."""
    from riskmon import logs

    if logs.as_json():
        log.critical("%s", exc)
    else:
        typer.echo(f"riskmon: {exc}", err=True)


def main() -> None:
    """Entry point: runs a command and turns errors into exit codes and one sentence."""
    watch_interrupt()
    try:
        app()
    except Interrupted:
        typer.echo("riskmon: interrupted", err=True)
        sys.exit(INTERRUPTED)
    except RiskmonError as exc:
        _say(exc)
        sys.exit(2 if isinstance(exc, UserError) else 1)
