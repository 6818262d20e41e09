"""The reference as a file: every key with its default, which `riskmon check-config` accepts."""

from __future__ import annotations

from pydantic.fields import FieldInfo

from riskmon.config import Config
from riskmon.config_reference.examples import COMMENTED, EXAMPLES, LEFT_AT_DEFAULT, SHOWN
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

_COMMENT_COLUMN = 44

_HEADER = """\
# Every key of riskmon with its default and its meaning. Keys that have no default hold an example.
# Lines that begin with `#` and a key are alternatives; docs/configuration.md explains durations, crontabs and paths.
"""


def render_file() -> str:
    """Every key with its default, as YAML that `riskmon check-config` accepts."""
    lines = [_HEADER.rstrip()]
    for name, field in Config.model_fields.items():
        lines += ["", *_entry(Config, name, field, indent=0)]
    return "\n".join(lines) + "\n"


def _entry(owner: Section, name: str, field: FieldInfo, indent: int) -> list[str]:
    pad = " " * indent
    whole = (owner, name) in LEFT_AT_DEFAULT or (owner, name) in EXAMPLES
    models = [] if whole else sections_in(field.annotation)
    if not models:
        return [_comment(f"{pad}{name}: {flow(_value(owner, name, field))}", field.description)]
    key = _comment(f"{pad}{name}:", field.description)
    # A choice that is left at null shows nothing but comments.
    choice = len(models) > 1 or (owner, name) in COMMENTED
    open_choice = choice and field.default is None and not SHOWN & set(models)
    lines = [_comment(f"{pad}{name}: null", field.description)] if open_choice else []
    for model in sorted(models, key=lambda model: model not in SHOWN):
        if is_list(field):
            block = _block(model, indent + 4)
            block[0] = f"{pad}  - {block[0].lstrip()}"
        else:
            block = [key, *_block(model, indent + 2)]
        if choice and model not in SHOWN:
            block = [f"#{line}" for line in block]
        lines += block
    return [key, *lines] if is_list(field) else lines


def _block(section: Section, indent: int) -> list[str]:
    return [line for name, field in fields_of(section) for line in _entry(section, name, field, indent)]


def _comment(code: str, meaning: str | None) -> str:
    return f"{code:<{_COMMENT_COLUMN}}  # {meaning}" if meaning else code


def _value(owner: Section, name: str, field: FieldInfo) -> object:
    if name == "kind" and is_tag(field):
        return only_value(field)
    return EXAMPLES[owner, name] if field.is_required() else plain(field.default)
