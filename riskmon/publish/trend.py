"""The trend of a forecast as a small picture: expected number and interval of the past days, drawn as SVG.

In come the earlier totals of one harm, oldest first; out come the points of an SVG polyline (expected) and polygon
(90% interval) for each stretch without a gap. Time goes from left to right, so irregular forecasts stand where they
belong. The span is cut into at most `SLOTS` slots; of each slot the last forecast is drawn. A slot without one breaks
the line only if the forecasts around it lie more than four ordinary steps apart (and never within an hour): a daemon
that was down drew no straight line through its absence.

The scale begins at 0. A single day with a wide interval would flatten all others, so the top is set by the expected
numbers, the budget where it is near, and the upper ends that three in four forecasts keep; what is beyond is cut off
at the top.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from riskmon.records import Forecast

SLOTS = 160
WIDTH = 320.0
HEIGHT = 56.0

_FEWEST = 3
_SHORTEST_GAP = timedelta(hours=1)
_GAP_STEPS = 4
# A budget further away than this many times the forecasts would leave them on the floor.
_BUDGET_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Forecasts without a gap between them, as the attribute `points` of SVG shapes.

    Attributes:
        line: the expected numbers. band: the outline of the interval.
        single: the only expected number (x, y); None where there are more.
    """

    line: str
    band: str
    single: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Trend:
    """A drawn trend; coordinates are those of the picture, `WIDTH` by `HEIGHT` unless another size was asked for.

    Attributes:
        since, until: times of the first and the last forecast.
        lowest, highest: expected numbers.
        stretches: what is drawn, oldest first.
        budget_y: height of the budget; None without one, or where it lies above the picture.
        last: where the newest expected number stands (x, y).
        top: number at the upper edge.
    """

    since: datetime
    until: datetime
    lowest: float
    highest: float
    stretches: tuple[Stretch, ...]
    budget_y: float | None
    last: tuple[float, float]
    top: float


def draw(
    history: Sequence[Forecast], budget: float | None, width: float = WIDTH, height: float = HEIGHT
) -> Trend | None:
    """The trend of one harm's totals; None before there are three forecasts to connect.

    Args:
        history: totals of one harm in any order; those with a number that is not finite are left out.
        budget: harmful outputs a day; None without one.
        width, height: of the picture.
    """
    sound = [f for f in history if all(map(math.isfinite, (f.lower, f.expected, f.upper)))]
    shown = _thinned(sorted(sound, key=lambda forecast: forecast.made_at))
    if len(shown) < _FEWEST:
        return None
    first, last = shown[0].made_at, shown[-1].made_at
    top = _top(shown, budget)

    def x(moment: datetime) -> float:
        return round(width * ((moment - first) / (last - first)), 1)

    def y(value: float) -> float:
        return round(height * (1 - min(max(value / top, 0.0), 1.0)), 1)

    def stretch(part: Sequence[Forecast]) -> Stretch:
        line = [(x(f.made_at), y(f.expected)) for f in part]
        above = [(x(f.made_at), y(f.upper)) for f in part]
        below = [(x(f.made_at), y(f.lower)) for f in reversed(part)]
        return Stretch(_points(line), _points(above + below), line[0] if len(line) == 1 else None)

    expected = [forecast.expected for forecast in shown]
    return Trend(
        since=first,
        until=last,
        lowest=min(expected),
        highest=max(expected),
        stretches=tuple(stretch(part) for part in _unbroken(shown)),
        budget_y=None if budget is None or budget > top else y(budget),
        last=(x(last), y(shown[-1].expected)),
        top=top,
    )


def _points(corners: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in corners)


def _thinned(ordered: Sequence[Forecast]) -> list[Forecast]:
    """The last forecast of each slot, and the first of all."""
    if len(ordered) <= SLOTS:
        distinct = {forecast.made_at: forecast for forecast in ordered}
        return list(distinct.values())
    first, span = ordered[0].made_at, ordered[-1].made_at - ordered[0].made_at
    if not span:
        return [ordered[-1]]
    slots = {min(int(SLOTS * ((f.made_at - first) / span)), SLOTS - 1): f for f in ordered}
    chosen = list(slots.values())
    return chosen if chosen[0] is ordered[0] else [ordered[0], *chosen]


def _unbroken(ordered: Sequence[Forecast]) -> list[list[Forecast]]:
    """The forecasts, split where one or more are missing."""
    steps = [later.made_at - earlier.made_at for earlier, later in pairwise(ordered)]
    longest = max(_GAP_STEPS * sorted(steps)[len(steps) // 2], _SHORTEST_GAP)
    parts = [[ordered[0]]]
    for step, forecast in zip(steps, ordered[1:], strict=True):
        if step > longest:
            parts.append([])
        parts[-1].append(forecast)
    return parts


def _top(shown: Sequence[Forecast], budget: float | None) -> float:
    uppers = sorted(forecast.upper for forecast in shown)
    highest = max([forecast.expected for forecast in shown] + [uppers[3 * (len(uppers) - 1) // 4]])
    if budget is not None and budget <= _BUDGET_WITHIN * highest:
        highest = max(highest, budget)
    return 1.1 * highest if highest > 0 else 1.0
