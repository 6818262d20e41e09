"""Where a fact stands in a message: JMESPath, compiled once.

A plain path (`id`, `attributes.route`) is answered by dictionary look-ups, which on short messages is an order of
magnitude faster than the JMESPath interpreter and gives the same value; anything else goes to `jmespath`. An
expression that fails on a message, such as `join` over numbers, finds nothing there: it is None, as a missing key is.

Source: the JMESPath specification, sections "Identifiers" and "SubExpressions".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import methodcaller
from typing import Any

import jmespath

Lookup = Callable[[dict[str, Any]], Any]

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def compile_path(path: str) -> Lookup:
    """A function from a message to what stands at `path`, or None."""
    if not _PLAIN.fullmatch(path):
        return search_with_jmespath(path)
    first, *others = path.split(".")
    if not others:
        return methodcaller("get", first)
    if len(others) == 1:
        return _look_inside(first, others[0])

    def descend(document: dict[str, Any]) -> Any:
        value: Any = document
        for key in (first, *others):
            if not isinstance(value, dict):
                return None
            value = value.get(key)
        return value

    return descend


def plain_key(path: str) -> str | None:
    """The key that a path stands for; None where it is more than the name of a key."""
    return path if _PLAIN.fullmatch(path) and "." not in path else None


def _look_inside(outer: str, key: str) -> Lookup:
    def find(document: dict[str, Any]) -> Any:
        inside = document.get(outer)
        return inside.get(key) if isinstance(inside, dict) else None

    return find


def search_with_jmespath(path: str) -> Lookup:
    """The general form of `compile_path`, for every JMESPath expression."""
    expression = jmespath.compile(path)

    def search(document: dict[str, Any]) -> Any:
        try:
            return expression.search(document)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError):
            # JMESPathError is a ValueError; its built-in functions let the other four through on odd operands.
            return None

    return search
