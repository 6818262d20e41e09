"""Scores as a table: Markdown, so that it reads in a terminal and on a page alike."""

from __future__ import annotations

from collections.abc import Sequence

from riskmon.bench.scores import Score

_HEADER = (
    "world",
    "exact p",
    "method",
    "draws",
    "tokens",
    "mean / p",
    "rmse / p",
    "samples ratio",
    "token gain",
    "interval holds p",
    "bound holds",
    "quietly low",
)


def render_table(scores: Sequence[Score]) -> str:
    """A Markdown table, one row a score, columns padded to one width."""
    rows = [_HEADER, *(_cells(score) for score in scores)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    rule = ["-" * width for width in widths]
    # Names to the left, figures to the right.
    for column in range(len(rule)):
        if column not in (0, 2):
            rule[column] = rule[column][:-1] + ":"
    lines = [rows[0], tuple(rule), *rows[1:]]
    return "\n".join("| " + " | ".join(_padded(line, widths)) + " |" for line in lines)


def _padded(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.ljust(width) if column in (0, 2) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]


def _cells(score: Score) -> tuple[str, ...]:
    return (
        score.world,
        f"{score.truth:.2e}",
        score.method,
        f"{score.draws:,.0f}",
        f"{score.tokens:,.0f}",
        f"{score.mean:.2f}",
        f"{score.rmse:.2f}",
        _ratio(score.samples_ratio),
        _ratio(score.token_gain),
        f"{score.covered:.1%}",
        "none" if score.bounded is None else f"{score.bounded:.1%}",
        f"{score.quietly_low:.1%}",
    )


def _ratio(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
