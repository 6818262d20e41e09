"""The command that replaces the key of the store."""

from __future__ import annotations

from typing import Annotated

import typer

from riskmon.cli.settings import DEFAULT_CONFIG, ConfigOption, load_settings


def rotate_key(
    config: ConfigOption = DEFAULT_CONFIG,
    drop_old: Annotated[
        bool, typer.Option("--drop-old", help="Also take the old keys out of the key file.")
    ] = False,
) -> None:
    """Make a new key for the text in the store, and encrypt all of it anew; stop riskmon first."""
    settings = load_settings(config)
    from riskmon.store import rotate

    done = rotate(settings.store, drop_old=drop_old)
    where = "store.key" if done.path is None else str(done.path)
    typer.echo(f"key {done.key} of {where} encrypts the store now; {done.rows} rows were encrypted anew")
    if done.old:
        typer.echo(
            f"{where} still holds {', '.join(done.old)}, which only earlier backups need; "
            + ("take them out yourself" if done.path is None else "--drop-old takes them out")
        )
