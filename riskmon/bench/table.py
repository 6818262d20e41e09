"""Scores of the estimator's methods as a Markdown table."""

from __future__ import annotations

from collections.abc import Sequence

from riskmon.bench.markdown import markdown_table
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
    """A Markdown table, one row a score."""
    return markdown_table(_HEADER, map(_cells, scores), names=("world", "method"))


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
