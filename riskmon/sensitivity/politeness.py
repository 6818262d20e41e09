"""Polite wrappers around a prompt, from a YAML file: the package's English ones, or the user's own.

The file holds `any`, a list of wrappers with `{text}` for the prompt, and optionally `requests` with `starts`, first
words that make a prompt a request, and `templates`, wrappers with `{request}` for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from riskmon.errors import ConfigError

TEXT, REQUEST = "{text}", "{request}"
_FIRST_WORD = re.compile(r"\s*([^\W\d_]+)")
_FINAL_SIGNS = ".!?…"


@dataclass(frozen=True, slots=True)
class Wrappers:
    """What can be put around a prompt.

    Attributes:
        general: wrappers for every prompt. starts: first words of requests, in lower case. requests: wrappers for them.
    """

    general: tuple[str, ...]
    starts: frozenset[str] = frozenset()
    requests: tuple[str, ...] = ()

    def wrapped(self, text: str) -> list[str]:
        """The text in every wrapper that fits it, those for requests first."""
        inner = text.strip()
        whole = [wrapper.replace(TEXT, inner) for wrapper in self.general]
        first = _FIRST_WORD.match(inner)
        if first is None or first[1].lower() not in self.starts:
            return whole
        request = (inner[0].lower() + inner[1:]).rstrip(_FINAL_SIGNS)
        return [wrapper.replace(REQUEST, request) for wrapper in self.requests] + whole


@cache
def english_wrappers() -> Wrappers:
    """The package's own."""
    text = files("riskmon.sensitivity").joinpath("politeness.yaml").read_text(encoding="utf-8")
    return _wrappers(yaml.safe_load(text))


def read_wrappers(path: Path | None) -> Wrappers:
    """Wrappers of a file; the English ones where there is none.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    if path is None:
        return english_wrappers()
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _wrappers(data)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        reason = getattr(exc, "strerror", None) or "not YAML"
        raise ConfigError(f"cannot read sensitivity.politeness {path}: {reason}") from exc
    except ValueError as exc:
        raise ConfigError(f"sensitivity.politeness {path}: {exc}") from None


def _wrappers(data: Any) -> Wrappers:
    """Raises ValueError with what is wrong."""
    if not isinstance(data, dict) or not set(data) <= {"any", "requests"}:
        raise ValueError("it must hold 'any' and may hold 'requests', and nothing else")
    requests = data.get("requests", {"starts": [], "templates": []})
    if not isinstance(requests, dict) or set(requests) != {"starts", "templates"}:
        raise ValueError("'requests' must hold 'starts' and 'templates'")
    return Wrappers(
        general=_templates(data.get("any"), "any", TEXT),
        starts=frozenset(word.lower() for word in _texts(requests["starts"], "requests.starts")),
        requests=_templates(requests["templates"], "requests.templates", REQUEST),
    )


def _templates(value: Any, key: str, slot: str) -> tuple[str, ...]:
    found = _texts(value, key)
    if any(template.count(slot) != 1 or template.strip() == slot for template in found):
        raise ValueError(f"every entry of '{key}' must hold {slot} once, and something around it")
    return found


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise ValueError(f"'{key}' must be a list of texts")
    return tuple(value)
