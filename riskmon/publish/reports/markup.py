"""Pieces of Markdown in which every value stays text: tables, lists, and the escaping behind both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from riskmon.publish.reports import words
from riskmon.records import Stratum

_MARKUP = re.compile(r"([\\`*_\[\]<>#|~&$])")


def text(value: str) -> str:
    """Text that stays text: signs of markup escaped, everything on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(value.split()))


def bullets(sentences: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {text(sentence)}" for sentence in sentences)


def table(names: Sequence[str], rows: Iterable[Sequence[str | Stratum | None]], figures: int = 0) -> str:
    """A table whose last columns hold figures and stand to the right; every cell is escaped."""
    rule = ["---"] * (len(names) - figures) + ["---:"] * figures
    lines = [_row(names), "|" + "|".join(rule) + "|"]
    lines += [_row([text(_cell(cell)) for cell in row]) for row in rows]
    return "\n".join(lines)


def reasons(counts: Mapping[str, object]) -> str:
    """`too_long 44, not_finite 3`; empty without any."""
    return ", ".join(f"{reason} {count}" for reason, count in counts.items() if count)


def _cell(cell: str | Stratum | None) -> str:
    return cell if isinstance(cell, str) else words.stratum(cell)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
