"""The configuration as the commands take it: the option, the file, and values from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from riskmon.config import Config

ConfigOption = Annotated[Path, typer.Option("-c", "--config", help="Configuration file.")]
DEFAULT_CONFIG = Path("riskmon.yaml")


def load_settings(path: Path) -> Config:
    """Read a configuration, and begin to log as it says.

    Raises:
        ConfigError: the file cannot be read, or is wrong.
    """
    from riskmon import logs
    from riskmon.config_file import load_config

    config = load_config(path)
    logs.configure(config.logging)
    return config


def with_estimate(settings: Config, **given: int | None) -> Config:
    """The configuration with values of `estimate` from the command line, where they are given."""
    changed = {key: value for key, value in given.items() if value is not None}
    return settings.model_copy(update={"estimate": settings.estimate.model_copy(update=changed)})
