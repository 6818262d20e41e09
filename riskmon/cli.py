"""The command line. Exit codes: 0 done; 1 failed while running; 2 the user can fix it; 130 on Ctrl-C.

Everything heavy is imported by the command that needs it, so that `riskmon --help` answers at once.
"""

from __future__ import annotations

import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riskmon.errors import RiskmonError, UserError

if TYPE_CHECKING:
    from riskmon.config import Config

app = typer.Typer(
    name="riskmon",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="Configuration file.")]
DEFAULT_CONFIG = Path("riskmon.yaml")


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


@app.command()
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    once: Annotated[
        bool, typer.Option("--once", help="Read what is in the topic, estimate, forecast, and exit.")
    ] = False,
) -> None:
    """Run the daemon: sample traffic, estimate on a schedule, forecast, serve metrics."""
    settings = _load(config)
    settings.require_traffic("run")
    from riskmon.console import print_forecast
    from riskmon.daemon import Daemon

    daemon = Daemon(settings)
    if not once:
        raise typer.Exit(daemon.run())
    made, code = daemon.run_once()
    print_forecast(made)
    raise typer.Exit(code)


@app.command()
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
    settings = _load(config)
    given = {"samples_per_prompt": samples, "seed": seed}
    changed = settings.estimate.model_copy(
        update={key: value for key, value in given.items() if value is not None}
    )
    settings = settings.model_copy(update={"estimate": changed})
    from riskmon.batch import estimate_file

    raise typer.Exit(estimate_file(settings, prompts, out))


@app.command()
def forecast(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Forecast the next 24 hours from what the store holds; the store is left as it is."""
    settings = _load(config)
    settings.require_traffic("forecast")
    from riskmon.console import print_forecast
    from riskmon.jobs import preview_forecast
    from riskmon.store import open_store

    with open_store(settings.store.url) as store:
        made = preview_forecast(store, settings, "forecast", datetime.now(UTC))
    print_forecast(made, as_json=as_json)


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(help="Configuration file.")] = DEFAULT_CONFIG,
) -> None:
    """Check a configuration file without loading anything."""
    settings = _load(file)
    harms = ", ".join(harm.name for harm in settings.all_harms)
    experts = ", ".join(expert.name for expert in settings.experts) or "none: plain Monte Carlo"
    typer.echo(f"{file} is valid: target {settings.model.target}; experts {experts}; harms {harms}")


@app.command()
def demo(
    tiny: Annotated[
        bool, typer.Option("--tiny", help="A toy model made on the spot; under a minute.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option("--for", min=1, help="End by itself after so many seconds.")
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")] = 9108,
) -> None:
    """Show the whole loop on an embedded broker and a small real model."""
    from riskmon.demo.tour import run_demo

    raise typer.Exit(run_demo(tiny=tiny, seconds=seconds, port=port))


def _load(path: Path) -> Config:
    from riskmon import logs
    from riskmon.config_file import load_config

    config = load_config(path)
    logs.configure(config.logging)
    return config


class _Interrupted(BaseException):
    """Ctrl-C, under a name that the command-line library does not take for its own."""


def _interrupt(*_: object) -> None:
    raise _Interrupted


def main() -> None:
    """Entry point: runs a command and turns errors into exit codes and one sentence."""
    signal.signal(signal.SIGINT, _interrupt)
    try:
        app()
    except _Interrupted:
        typer.echo("riskmon: interrupted", err=True)
        sys.exit(130)
    except RiskmonError as exc:
        typer.echo(f"riskmon: {exc}", err=True)
        sys.exit(2 if isinstance(exc, UserError) else 1)
