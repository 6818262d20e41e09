"""The commands that look after the store: backup."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, load_settings


def backup(
    out: Annotated[Path, typer.Option(help="File to write, mode 0600; it must not exist yet.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Copy the store into a file, while the daemon runs; the copy holds prompts, so guard it like the store."""
    settings = load_settings(config)
    from riskmon.store import back_up

    made = back_up(settings.store.url, out)
    typer.echo(f"{out}: {made.size_bytes / 1e6:.1f} MB, schema {made.schema or 'none yet'}")
