"""The commands that follow a deployment's traffic: run, forecast, report.

All three need a traffic section, and meet in the store.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.interruption import ignore_hangup
from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, RoleOption, load_settings


def run(
    config: ConfigOption = DEFAULT_CONFIG,
    once: Annotated[
        bool, typer.Option("--once", help="Read what is in the topic, estimate, forecast, and exit.")
    ] = False,
    role: RoleOption = "all",
) -> None:
    """Run the daemon, or one part of it: sample traffic, estimate on a schedule, forecast, serve metrics."""
    ignore_hangup()
    settings = load_settings(config, role=role)
    settings.require_traffic("run")
    from riskmon.config_file import load_config
    from riskmon.console import print_forecast
    from riskmon.daemon import Daemon
    from riskmon.records import Role

    file = config.absolute()
    part = Role(role)
    daemon = Daemon(settings, lambda: load_config(file), part)
    if not once:
        raise typer.Exit(daemon.run())
    made, code = daemon.run_once()
    if part.publishes:
        print_forecast(made)
    raise typer.Exit(code)


def forecast(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
) -> None:
    """Forecast the next 24 hours from what the store holds; the store is left as it is."""
    settings = load_settings(config)
    settings.require_traffic("forecast")
    from riskmon.console import print_forecast
    from riskmon.jobs import preview_forecast
    from riskmon.store import open_store

    with open_store(settings.store) as store:
        made = preview_forecast(store, settings, "forecast", datetime.now(UTC))
    print_forecast(made, as_json=as_json)


def report(
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option(help="How far to look back, such as 7d; report.period when not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to, instead of the configured one.")
    ] = None,
    formats: Annotated[
        str | None, typer.Option("--format", help="Of html, md and json, with commas between them.")
    ] = None,
    send: Annotated[bool, typer.Option("--send", help="Also post and mail it, as configured.")] = False,
) -> None:
    """Write a deployment report: forecast against budget, why it changed, and whether it can be trusted."""
    settings = load_settings(config)
    settings.require_traffic("report")
    from riskmon.reporting.command import parse_formats, parse_period, write_report

    code = write_report(
        settings,
        period=None if since is None else parse_period(since),
        out=out,
        formats=None if formats is None else parse_formats(formats),
        send=send,
        now=datetime.now(UTC),
        say=typer.echo,
        warn=lambda fault: typer.echo(f"riskmon: {fault}", err=True),
    )
    raise typer.Exit(code)
