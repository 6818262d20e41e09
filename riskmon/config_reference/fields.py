"""The fields of `riskmon.config` as both renderings read them: their order, their sections, their values as YAML."""

from __future__ import annotations

import typing
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

Section = type[BaseModel]

_UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))


def fields_of(section: Section) -> list[tuple[str, FieldInfo]]:
    """Names and fields, in the order of the file: what a thing is called and what it is come first."""
    first = {"name": 0, "kind": 1}
    return sorted(section.model_fields.items(), key=lambda item: first.get(item[0], 2))


def is_tag(kind: FieldInfo | None) -> typing.TypeGuard[FieldInfo]:
    """Whether a key `kind` has one value only, which tells its section from others."""
    return kind is not None and len(typing.get_args(kind.annotation)) == 1


def only_value(field: FieldInfo) -> str:
    """The value of a tag."""
    (value,) = typing.get_args(field.annotation)
    return str(value)


def is_list(field: FieldInfo) -> bool:
    """Whether a key holds several values."""
    return typing.get_origin(field.annotation) is tuple


def sections_in(annotation: Any) -> list[Section]:
    """Sections that a key may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for arg in typing.get_args(annotation) for model in sections_in(arg)]


def plain(value: object) -> object:
    """A default as YAML writes it."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
        return f"{seconds / size:g}{unit}"
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value


def flow(value: object) -> str:
    """A plain value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
