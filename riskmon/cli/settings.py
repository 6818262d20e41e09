"""The configuration as the commands take it: the option, the file, and values from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from riskmon.config import Config

ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="Configuration file.")]
DEFAULT_CONFIG = Path("riskmon.yaml")
RoleOption = Annotated[
    # The values of `riskmon.records.Role`, which `--help` need not load.
    Literal["all", "intake", "estimate", "publish"],
    typer.Option(help="The part of the work that this process does; the others meet it in the store."),
]


def load_settings(path: Path, *, role: str | None = None) -> Config:
    """Read a configuration, and begin to log as it says.

    Args:
        role: which log lines name, of `riskmon run`.

    Raises:
        ConfigError: the file cannot be read, or is wrong.
    """
    from riskmon import logs
    from riskmon.config_file import load_config

    config = load_config(path)
    logs.speak_as(role)
    logs.configure(config.logging)
    return config


def with_estimate(settings: Config, **given: int | None) -> Config:
    """The configuration with values of `estimate` from the command line, where they are given."""
    changed = {key: value for key, value in given.items() if value is not None}
    return settings.model_copy(update={"estimate": settings.estimate.model_copy(update=changed)})
