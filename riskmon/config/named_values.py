"""Values that a configuration names instead of holding: `!file PATH` and `!env NAME`, at any place that takes text.

    password: !file /run/secrets/kafka       # the file's only line, as Docker and Kubernetes mount secrets
    api_key: !env JUDGE_API_KEY              # also inside lists, which a RISKMON_* variable replaces as a whole

A file that every user of the machine may change is refused: any of them could put something else there. No message
holds any part of a value.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import yaml

from riskmon.errors import ConfigError

_LONGEST = 4096


def read_yaml(text: str, base: Path) -> Any:
    """The document with what it names put in; relative paths are taken from `base`.

    Raises:
        ConfigError: a file or a variable cannot be used.
        yaml.YAMLError: it is not YAML.
    """

    class Loader(yaml.SafeLoader):
        """A safe loader that also knows the two tags."""

    def file(loader: yaml.SafeLoader, node: yaml.Node) -> str:
        return _line_of(base / _argument(loader, node, "!file /run/secrets/NAME"))

    def env(loader: yaml.SafeLoader, node: yaml.Node) -> str:
        name = _argument(loader, node, "!env NAME")
        if not (value := os.environ.get(name)):
            raise ConfigError(
                f"!env {name}: this variable is not set, or empty; set it where riskmon is started"
            )
        return value

    Loader.add_constructor("!file", file)
    Loader.add_constructor("!env", env)
    return yaml.load(text, Loader)


def _argument(loader: yaml.SafeLoader, node: yaml.Node, example: str) -> str:
    value = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else ""
    if not value:
        line = node.start_mark.line + 1
        raise ConfigError(f"{node.tag} at line {line} of the configuration needs one word, as in: {example}")
    return str(value)


def _line_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LONGEST + 2)
    except OSError as exc:
        raise ConfigError(f"!file {path} cannot be read: {exc.strerror}") from exc
    if mode & stat.S_IWOTH:
        raise ConfigError(f"!file {path} can be changed by every user of this machine; run chmod 600 on it")
    try:
        value = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        value = "\0"
    if not value or len(content) > _LONGEST or not value.isprintable():
        raise ConfigError(
            f"!file {path} must hold the secret as its only line, at most {_LONGEST} bytes and no control characters"
        )
    return value
