"""Secrets kept in files: the password or token of a reader, the private key of the server.

A file that every user of the machine may change is refused: any of them could let themselves in. One that every user
may read is used, with a warning at start. Refusing it would lock out the common case: Docker and Kubernetes mount
secrets with mode 0444 or 0644 into a container where nobody else lives. Group rights are the operator's affair.
No message holds any part of a secret.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from riskmon.errors import ConfigError

_LONGEST = 4096

log = logging.getLogger(__name__)


def read_secret(path: Path, key: str) -> bytes:
    """The file's only line, without its line end.

    Args:
        path: the file.
        key: the configuration key that names it, for messages.

    Raises:
        ConfigError: the file cannot be read, may be changed by all, is empty, or holds more than one line.
    """
    content = read_private(path, key).removesuffix(b"\n").removesuffix(b"\r")
    if not content:
        raise ConfigError(f"{key} {path} is empty; write the secret into it, as its only line")
    if len(content) > _LONGEST or any(byte < 0x20 or byte == 0x7F for byte in content):
        raise ConfigError(
            f"{key} {path} must hold one line of at most {_LONGEST} characters, the secret, "
            "and no control characters"
        )
    return content


def read_private(path: Path, key: str) -> bytes:
    """The content of a file that only the service should read.

    Raises:
        ConfigError: the file cannot be read, or may be changed by all.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except OSError as exc:
        raise ConfigError(f"{key} {path} cannot be read: {exc.strerror}") from exc
    if mode & stat.S_IWOTH:
        raise ConfigError(f"{key} {path} can be changed by every user of this machine; run chmod 600 on it")
    if mode & stat.S_IROTH:
        log.warning("%s %s can be read by every user of this machine; chmod 600 keeps it private", key, path)
    return content
