"""The gain of each method over brute force against p, as an SVG picture that is the same in every run.

Both axes are logarithmic. Filled marks joined by a line are worlds whose harm the proposals cover; hollow ones are
worlds with a crude variant or a missed mode, where a method may well do worse than brute force.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from riskmon.bench.scores import BRUTE_FORCE, COLD, LEARNT, PUBLISHED, Score
from riskmon.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that differ for colour-blind readers too, and marks that differ in print.
_STYLES = {PUBLISHED: ("#d55e00", "s"), COLD: ("#56b4e9", "^"), LEARNT: ("#0072b2", "o")}


def require_matplotlib() -> None:
    """Make sure that a picture can be drawn.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as exc:
        raise ConfigError(
            "matplotlib, which draws the picture, is not installed; pip install 'riskmon[bench]'"
        ) from exc


def render_plot(scores: Sequence[Score]) -> bytes:
    """The picture as SVG.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    points = _points(scores)
    # Ids in the file come from this salt instead of a random one, and no date is written.
    with matplotlib.rc_context({"svg.hashsalt": "riskmon", "font.size": 10}):
        figure = Figure(figsize=(7.2, 4.4), facecolor="white", layout="constrained")
        axes = figure.add_subplot()
        for method, (colour, mark) in _STYLES.items():
            _draw_method(axes, method, [point for point in points if point.method == method], colour, mark)
        _name_others(axes, points)
        axes.axhline(1.0, color="#444444", linestyle="--", linewidth=1.2, label=BRUTE_FORCE)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(x=0.12, y=0.08)
        axes.invert_xaxis()
        axes.set_xlabel("exact probability of harm p (rarer to the right)")
        axes.set_ylabel("gain in tokens over brute force")
        axes.set_title("Same squared error, fewer tokens", loc="left")
        axes.grid(True, which="major", color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, loc="upper left")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        out = io.BytesIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class _Point:
    method: str
    kind: str
    truth: float
    gain: float


def _points(scores: Sequence[Score]) -> list[_Point]:
    """What can be shown, in order of p; a method without a gain has no mark."""
    return sorted(
        (
            _Point(score.method, score.kind, score.truth, score.token_gain)
            for score in scores
            if score.token_gain is not None and score.method in _STYLES
        ),
        key=lambda point: point.truth,
    )


def _draw_method(axes: Axes, method: str, points: Sequence[_Point], colour: str, mark: str) -> None:
    covered = [point for point in points if point.kind == "covered"]
    others = [point for point in points if point.kind != "covered"]
    for line, own in (("-", covered), ("none", others)):
        axes.plot(
            [point.truth for point in own],
            [point.gain for point in own],
            color=colour,
            marker=mark,
            markerfacecolor=colour if own is covered else "white",
            linestyle=line,
            label=method if own is covered else None,
        )


def _name_others(axes: Axes, points: Sequence[_Point]) -> None:
    """Write beside the hollow marks which kind of world they are of."""
    for kind, words in (("crude", "crude variant"), ("missed", "missed mode")):
        own = [point for point in points if point.kind == kind]
        if own:
            top = max(own, key=lambda point: point.gain)
            axes.annotate(
                words,
                (top.truth, top.gain),
                xytext=(0, 9),
                textcoords="offset points",
                ha="center",
                color="#444444",
                fontsize=9,
            )
