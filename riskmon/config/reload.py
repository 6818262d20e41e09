"""What a running daemon takes over from a configuration file that was edited, and what it does not.

In come the configuration in force and the one just read; out comes the one to go on with. A key that `RELOADABLE`
names is taken over; every other one that differs keeps its old value and is named, since a part that was built at
start (the model, the store, the traffic source, the HTTP server) cannot be exchanged under what is at work with it.
Harms and experts are matched by name. docs/configuration.md prints the list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from riskmon.config.root import Config
from riskmon.errors import ConfigError

RELOADABLE: tuple[str, ...] = (
    "harms[].budget_daily",
    "estimate.device_budget",
    "estimate.refine_share",
    "estimate.refine_limit",
    "estimate.early_stop",
    "estimate.hits_kept",
    "estimate.responses",
    "estimate.deadline",
    "estimate.schedule",
    "forecast",
    "sensitivity",
    "report.schedule",
    "report.on_release",
    "report.period",
    "report.formats",
    "report.top_prompts",
    "report.excerpt_characters",
    "report.link",
    "report.prometheus",
    "report.webhook",
    "report.smtp",
    "store.retention",
    "store.count_retention",
    "logging",
    # Read by commands of their own, and by nothing in the daemon.
    "calibrate",
    "rules",
    "release",
)
"""Keys and whole sections that a reload takes over."""


@dataclass(frozen=True, slots=True)
class Reload:
    """The outcome of a reload.

    Attributes:
        config: to go on with.
        changed: keys that were taken over.
        kept: keys that differ and need a restart.
    """

    config: Config
    changed: tuple[str, ...]
    kept: tuple[str, ...]


def merge(running: Config, asked: Config) -> Reload:
    """The configuration in force, with what may be reloaded taken from the one asked for.

    Raises:
        ConfigError: values taken over do not fit those that stay.
    """
    merging = _Merging()
    merged = merging.value("", running, asked)
    try:
        merged.check()
    except ValueError as exc:
        raise ConfigError(
            f"{exc}, and {', '.join(merging.kept)} cannot change without a restart; restart riskmon"
        ) from exc
    return Reload(merged, tuple(merging.changed), tuple(merging.kept))


def reloads(key: str) -> bool:
    """Whether a key such as `harms[].budget_daily`, or the section around it, is taken over."""
    return any(key == known or key.startswith(f"{known}.") for known in RELOADABLE)


class _Merging:
    """One walk over both configurations, and what it has met."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.kept: list[str] = []

    def value(self, key: str, running: Any, asked: Any) -> Any:
        """The value to go on with."""
        if running == asked:
            return running
        if isinstance(running, BaseModel) and type(running) is type(asked):
            return self._section(key, running, asked)
        if _names(running) and _names(running) == _names(asked):
            return tuple(
                self.value(f"{key}[{old.name}]", old, new) for old, new in zip(running, asked, strict=True)
            )
        taken = reloads(re.sub(r"\[\w*\]", "[]", key))
        (self.changed if taken else self.kept).append(key)
        return asked if taken else running

    def _section(self, key: str, running: BaseModel, asked: BaseModel) -> BaseModel:
        update = {
            name: self.value(f"{key}.{name}" if key else name, getattr(running, name), getattr(asked, name))
            for name in type(running).model_fields
        }
        return running.model_copy(update=update)


def _names(value: object) -> Sequence[str]:
    """Names of the sections of a list, in order; empty for anything else."""
    if not isinstance(value, tuple) or not all(hasattr(item, "name") for item in value):
        return ()
    return [item.name for item in value]
