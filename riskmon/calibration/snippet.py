"""Experts as lines of YAML to paste into the configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import yaml

from riskmon.config import Config

_LONGEST_NAME = 40


def expert_snippet(config: Config, *experts: tuple[str, Mapping[str, Any]]) -> str:
    """The section `experts` with further ones, indented by two.

    Args:
        config: the configuration in force.
        experts: wanted name and settings of each; a name that is taken gets a number.
    """
    taken = {"target", *(expert.name for expert in config.experts)}
    entries = [{"name": _free(name, taken), **settings} for name, settings in experts]
    text = yaml.safe_dump(
        {"experts": entries}, sort_keys=False, allow_unicode=True, width=float("inf"), default_flow_style=None
    )
    return "\n".join(f"  {line}" for line in text.splitlines())


def _free(name: str, taken: set[str]) -> str:
    return next(candidate for candidate in _candidates(name) if candidate not in taken)


def _candidates(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        yield f"{name[: _LONGEST_NAME - len(str(number)) - 1]}_{number}"
