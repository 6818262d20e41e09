"""The command that counts what the daemon did not read: ingest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.interruption import resumable
from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, load_settings


def ingest(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Logs of JSON lines: plain, .gz, .bz2, .xz or .zst; without any, the topic is read."
        ),
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    since: Annotated[
        str | None,
        typer.Option("--from", help="Count from then on, such as 2026-11-01 or 2026-11-01T06:00:00Z."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Count what comes before then.")] = None,
) -> None:
    """Count and sample the past, from the topic or from files; nothing that is counted already is counted again."""
    settings = load_settings(config)
    traffic = settings.require_traffic("ingest")
    from riskmon.errors import InputError
    from riskmon.ingest import describe, ingest_files, ingest_topic, parse_span
    from riskmon.store import open_store

    span = parse_span(since, until)
    if not files and span.since is None:
        raise InputError("say from when the topic is to be counted, as in --from 2026-11-01, or name files")

    def work() -> int:
        with open_store(settings.store) as store:
            if files:
                outcome, unit = ingest_files(traffic, store, files, span), "bytes"
            else:
                outcome, unit = ingest_topic(traffic, store, span), "offsets"
        for line in describe(outcome, unit):
            typer.echo(line)
        return 0

    resumable(work)
