"""Kinds of values: durations, crontabs, field paths, names; and what every section is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _parse_duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip())):
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError("a duration is a number and a unit of ms, s, m, h or d, such as 30m")


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a duration must be longer than zero")
    return value


def _check_cron(value: str) -> str:
    from apscheduler.triggers.cron import CronTrigger

    try:
        CronTrigger.from_crontab(value)
    except ValueError as exc:
        raise ValueError(f"not a crontab of five fields ({exc})") from exc
    return value


def check_pattern(value: str) -> str:
    """The pattern itself, if it compiles."""
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"not a regular expression ({exc})") from exc
    return value


def _check_jmespath(value: str) -> str:
    import jmespath

    try:
        jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as exc:
        raise ValueError(f"not a JMESPath expression: {value!r}") from exc
    return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), AfterValidator(_positive)]
Cron = Annotated[str, AfterValidator(_check_cron)]
FieldPath = Annotated[str, AfterValidator(_check_jmespath)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Listen = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$")]

Dtype = Annotated[Literal["auto", "float32", "bfloat16", "float16"], Field(description="type of the weights")]
Device = Annotated[
    str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto takes a GPU where there is one")
]


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """As pydantic shows a model, with logins and options of addresses masked, which may hold passwords."""
        for name, value in super().__repr_args__():
            yield name, mask_logins(value) if isinstance(value, str) else value


def mask_logins(text: str) -> str:
    """The text with what may be secret in an address left out: user and password, and the options."""
    return re.sub(r"(?<=://)\S*@", "***@", re.sub(r"(?<=://)([^?\s]*)\?\S*", r"\1?***", text))
