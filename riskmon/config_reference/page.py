"""The reference as Markdown: a table per section, with key, allowed values, default and meaning; then what reloads."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from riskmon.config import Config, Cron, FieldPath, Listen, Name
from riskmon.config.reload import reloads
from riskmon.config_reference.fields import (
    Section,
    fields_of,
    flow,
    is_list,
    is_tag,
    only_value,
    plain,
    sections_in,
)

_ALIASES = {Cron: "crontab", FieldPath: "JMESPath", Name: "name", Listen: "host:port"}
_SCALARS = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    SecretStr: "secret text",
    timedelta: "duration",
    date: "date",
}
_BOUNDS: dict[type, str] = {
    Gt: "> {0.gt}",
    Ge: "≥ {0.ge}",
    Lt: "< {0.lt}",
    Le: "≤ {0.le}",
    MinLen: "not empty",
    MaxLen: "at most {0.max_length}",
}

_INTRODUCTION = """\
# Configuration

One YAML file, read at start and [again on SIGHUP](#reloading). [deploy/riskmon.yaml](../deploy/riskmon.yaml) holds
every key with its default.
`riskmon check-config FILE` checks a file without loading a model or reaching a broker.

- **Unknown keys are refused**, with the nearest known key. A wrong value is refused with what is allowed. Both exit
  with code 2.
- **The environment wins over the file.** `RISKMON_` and the path of the key, with two underscores between its parts:
  `RISKMON_PUBLISH__LISTEN=0.0.0.0:9108`, `RISKMON_TRAFFIC__KAFKA__SECURITY__PASSWORD=...`. Lists are given as JSON:
  `RISKMON_TRAFFIC__STRATA='["model"]'` replaces the whole list. Upper and lower case are the same. A variable whose
  first part is no section is ignored.
- **Secrets can be files.** `RISKMON_SECRETS_DIR` names a folder; a file in it that is named like such a variable
  (`RISKMON_STORE__URL`) gives that key its value. The environment wins over these files, and they over the file.
- **Secrets can be named** in the file: `password: !file /run/secrets/kafka` takes the only line of a file, and
  `api_key: !env NAME` a variable of any name, at any place that takes text. No output of riskmon shows a secret.
- **Relative paths** are taken from the folder of the file. `model.target` and the `path` of a checkpoint are a folder
  where there is one, and a hub id otherwise.
- **A duration** is a number and a unit of `ms`, `s`, `m`, `h` or `d`, longer than zero: `30m`, `1.5h`, `500ms`.
- **A crontab** has five fields (minute, hour, day of month, month, day of week) and is read in UTC.
- **A name** begins with a lower-case letter; then come at most 39 lower-case letters, digits and underscores.
- **JMESPath** is the path of a value in a message, such as `attributes.route`. A path that leads nowhere gives nothing.

Keys that depend on one another:

- Give `harms`, or `judge` for a single harm named `harmful`; not both.
- Give `traffic.kafka` or `traffic.jsonl`; not both.
- Names of experts differ from one another, names of harms too, and no expert is named `target`.
- `estimate.deadline` is not shorter than `estimate.device_budget`.
- `estimate.sharing.resume_below` is not above `estimate.sharing.max_utilization`.
- A SASL protocol needs `mechanism`, `username` and `password`.
- `rules.ticket_probability` is not above `rules.page_probability`, and both severities differ.
- Give `store.key_file` or `store.key`; not both. PostgreSQL needs one of them.
- A stratum's label is the last part of its path. Labels differ from one another, and none is `harm`, `driver` or
  `severity`, nor one that Prometheus sets (`job`, `instance`, `alertname`, `le`, `quantile`).
"""

_RELOADING = """
## Reloading

`kill -HUP` (`systemctl reload`, where the unit says so) has the daemon read the file again. Keys of the middle column
are taken over at once, schedules included; a job under way ends with the settings it began with. A key that needs a
restart keeps its old value and is named in a warning. A file that is refused changes nothing, and
`riskmon_config_last_reload_successful` is 0. Variables of the environment stay those of the start.

| section | taken over | needs a restart |
|---|---|---|
"""


def render_page() -> str:
    """The reference as Markdown."""
    parts = [_INTRODUCTION]
    for title, section in _sections():
        intro = (section.__doc__ or "").strip()
        parts += [f"\n## {title}\n\n{intro}\n\n| key | allowed | default | meaning |\n|---|---|---|---|\n"]
        parts += [_row(name, field) for name, field in fields_of(section)]
    parts += [_RELOADING, *(_reload_row(name, field) for name, field in Config.model_fields.items())]
    return "".join(parts)


def _reload_row(name: str, field: FieldInfo) -> str:
    """Which keys of a section are taken over by a reload, and which are not."""
    path = name + ("[]" if is_list(field) else "")
    keys = dict.fromkeys(key for section in sections_in(field.annotation) for key, _ in fields_of(section))
    taken = [key for key in keys if reloads(f"{path}.{key}")]
    kept = [key for key in keys if key not in taken]
    cells = [_key_list(some, whole=not others) for some, others in ((taken, kept), (kept, taken))]
    return f"| `{path}` | {cells[0]} | {cells[1]} |\n"


def _key_list(keys: typing.Sequence[str], *, whole: bool) -> str:
    return "every key" if whole and keys else ", ".join(f"`{key}`" for key in keys)


def _sections() -> Iterator[tuple[str, Section]]:
    """Title and section, each section once, in the order of the file."""
    seen: set[Section] = set()

    def visit(path: str, section: Section) -> Iterator[tuple[str, Section]]:
        if section in seen:
            return
        seen.add(section)
        kind = section.model_fields.get("kind")
        yield f"`{path}`" + (f", kind `{only_value(kind)}`" if is_tag(kind) else ""), section
        for name, field in section.model_fields.items():
            brackets = "[]" if is_list(field) else ""
            for inner in sections_in(field.annotation):
                yield from visit(f"{path}.{name}{brackets}", inner)

    yield "Top level", Config
    for name, field in Config.model_fields.items():
        for inner in sections_in(field.annotation):
            yield from visit(name + ("[]" if is_list(field) else ""), inner)


def _row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else _shown_default(field)
    cells = (f"`{name}`", _allowed(field), default, field.description or _kind_meaning(name))
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def _shown_default(field: FieldInfo) -> str:
    if isinstance(field.default, BaseModel):
        return "its keys' defaults"
    return f"`{flow(plain(field.default))}`"


def _kind_meaning(name: str) -> str:
    if name != "kind":
        raise ValueError(f"the key {name!r} has no description in riskmon.config")
    return "which of the kinds this is"


def _allowed(field: FieldInfo) -> str:
    bounds = [
        text.format(rule)
        for rule in field.metadata
        for kind, text in _BOUNDS.items()
        if isinstance(rule, kind)
    ]
    return ", ".join([_type_text(field.annotation, field.metadata), *bounds])


def _type_text(annotation: Any, metadata: typing.Sequence[Any] = ()) -> str:
    for alias, text in _ALIASES.items():
        if annotation == alias or _marks_of(typing.get_args(alias)[1:]) & _marks_of(metadata):
            return text
    for rule in metadata:
        if pattern := getattr(rule, "pattern", None):
            return f"text matching `{pattern}`"
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(args[0], args[1:])
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin is tuple:
        if args[-1] is Ellipsis:
            return f"list of {'sections' if sections_in(args[0]) else _type_text(args[0])}"
        return "[" + ", ".join(_type_text(arg) for arg in args) + "]"
    if origin in (typing.Union, types.UnionType):
        texts = dict.fromkeys(_type_text(arg) for arg in args if arg is not type(None))
        return " or ".join([*texts, *(["`null`"] if type(None) in args else [])])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _SCALARS[annotation]


def _marks_of(metadata: typing.Sequence[Any]) -> set[Any]:
    """What tells one kind of text from another: its validating function or its pattern."""
    rules = [inner for rule in metadata for inner in (rule, *getattr(rule, "metadata", ()))]
    found = {getattr(rule, "func", None) or getattr(rule, "pattern", None) for rule in rules}
    return found - {None}
