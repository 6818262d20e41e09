"""Presets of `hf-generative`: how each known guard model is asked and read, as data.

The data is `presets.yaml` beside this file, whose head explains the fields. Reading it costs no heavy import, so the
command line may list and check names.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from riskmon.errors import ModelUnavailable


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a judge's answer.

    Attributes:
        lead: text that is put there for the judge.
        labels: what may follow, and the score it stands for; None on lines before the last.
    """

    lead: str
    labels: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Preset:
    """How one guard model is asked and read.

    Attributes:
        name: key in the data.
        model: hub id used by default. base: what an adapter is put on where its own configuration does not say.
        text: input as a jinja2 template of `prompt` and `output`; None where the model's own chat template is used.
        closing_turn: user message behind the conversation; None without.
        special_tokens: whether the tokenizer adds its own.
        lines: the answer; the last line holds the verdict.
    """

    name: str
    model: str
    lines: tuple[Line, ...]
    base: str | None = None
    text: str | None = None
    closing_turn: str | None = None
    special_tokens: bool = False


@cache
def _presets() -> dict[str, Preset]:
    data = yaml.safe_load(files(__package__).joinpath("presets.yaml").read_text(encoding="utf-8"))
    return {
        name: Preset(name=name, **{**fields, "lines": tuple(Line(**line) for line in fields["lines"])})
        for name, fields in data.items()
    }


def preset_names() -> tuple[str, ...]:
    """Names of the known presets."""
    return tuple(_presets())


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
        ModelUnavailable: there is none.
    """
    if name in _presets():
        return _presets()[name]
    nearest = difflib.get_close_matches(name, preset_names(), n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ModelUnavailable(
        f"judge 'hf-generative': unknown preset {name!r}{hint}; known ones are {', '.join(preset_names())}"
    )
