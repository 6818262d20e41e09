"""Secrets in files: one file per key, in the folder that `RISKMON_SECRETS_DIR` names.

In comes a folder whose files are named like the environment variables of riskmon (`RISKMON_STORE__URL`) and hold their
values; out goes a source of settings. Credentials of systemd, secrets of Docker and Secret volumes of Kubernetes are
all such folders, so none of these needs a secret in the environment, which every child process inherits.
The environment wins over these files, and they win over the configuration file.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic_settings import NestedSecretsSettingsSource, PydanticBaseSettingsSource

from riskmon.errors import ConfigError

VARIABLE = "RISKMON_SECRETS_DIR"


def secret_files(unset: PydanticBaseSettingsSource) -> tuple[PydanticBaseSettingsSource, ...]:
    """The source of the folder that `RISKMON_SECRETS_DIR` names; empty where it names none.

    Args:
        unset: the source that pydantic-settings itself has for secrets; it knows the settings.

    Raises:
        ConfigError: the folder is not there, or a file in it cannot be read.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return ()
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{VARIABLE} {folder} is no folder; name one whose files are called like RISKMON_STORE__URL, or unset it"
        )
    try:
        return (NestedSecretsSettingsSource(unset, secrets_dir=folder),)
    except OSError as exc:
        raise ConfigError(f"{VARIABLE}: {exc.filename} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError:  # its text would show the secret's bytes
        raise ConfigError(f"{VARIABLE} {folder} holds a file that is not UTF-8 text; take it out") from None
