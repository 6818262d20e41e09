"""Coordinates of a report's pictures, which its template draws as inline SVG.

Every picture is drawn by the ways of `riskmon.publish.trend`, in units of its own view box, and carries a title and a
description in words. Colours are classes, so that the style sheet sets them for light, dark and paper.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from riskmon.publish import trend
from riskmon.publish.figures import number, percent
from riskmon.publish.reports.words import PARTS
from riskmon.publish.trend import Trend
from riskmon.records import Forecast
from riskmon.records.report import HarmReport, HeatMap

PLOT_WIDTH, PLOT_HEIGHT = 640.0, 170.0
HEAT_LEVELS = 5
_MOST_TICKS = 8
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
# Half an order of magnitude a shade.
_SHADES_PER_DECADE = 2


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis with its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class TrendChart:
    """A trend with axes, in a plot of `PLOT_WIDTH` by `PLOT_HEIGHT`; `text` says what it shows."""

    trend: Trend
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a bar that is 100 wide."""

    name: str
    words: str
    share: float
    start: float


@dataclass(frozen=True, slots=True)
class Ranges:
    """Nested intervals on a scale from 0, in percent of its width; the wider and narrower may be unknown."""

    narrow: tuple[float, float] | None
    middle: tuple[float, float]
    wide: tuple[float, float] | None
    mark: float
    budget: float | None
    text: str


def trend_chart(harm: HarmReport) -> TrendChart | None:
    """The totals of the period; None before there are three."""
    if harm.total is None:
        return None
    earlier = [forecast for forecast in harm.history if forecast.made_at < harm.total.made_at]
    drawn = trend.draw([*earlier, harm.total], harm.scope.budget_daily, PLOT_WIDTH, PLOT_HEIGHT)
    if drawn is None:
        return None
    return TrendChart(
        trend=drawn,
        x_ticks=_time_ticks(drawn.since, drawn.until),
        y_ticks=_value_ticks(drawn.top),
        text=_trend_text(harm, drawn, harm.total.expected),
    )


def _trend_text(harm: HarmReport, drawn: Trend, now: float) -> str:
    budget = harm.scope.budget_daily
    line = "" if drawn.budget_y is None else f" and the budget of {number(budget)} as a dashed line"
    return (
        f"Expected harmful outputs of {harm.scope.name} between {number(drawn.lowest)} and {number(drawn.highest)}, "
        f"now {number(now)}, with the 90% interval as a band{line}."
    )


def variance_bar(forecast: Forecast) -> tuple[Segment, ...]:
    """Where the spread comes from, the parts side by side; empty where it is not known."""
    if forecast.variance is None:
        return ()
    segments: list[Segment] = []
    start = 0.0
    for name, share in dataclasses.asdict(forecast.variance).items():
        segments.append(Segment(name, PARTS[name], share, round(start, 2)))
        start += 100 * share
    return tuple(segments)


def variance_text(segments: Sequence[Segment]) -> str:
    """The bar in words."""
    return ", ".join(f"{segment.words} {percent(segment.share)}" for segment in segments)


def scale_of(harm: HarmReport) -> float:
    """Right end of a scale that holds the forecast of 24 hours and its budget."""
    if harm.total is None:
        return 0.0
    wide = harm.total.upper if harm.total.upper_99 is None else harm.total.upper_99
    return 1.05 * max(wide, harm.total.expected, harm.scope.budget_daily or 0.0)


def ranges(forecast: Forecast, scale: float, budget: float | None = None) -> Ranges:
    """The intervals of a forecast, drawn."""

    def place(value: float) -> float:
        return round(min(100 * value / scale, 100.0), 2) if scale > 0 else 0.0

    def pair(low: float | None, high: float | None) -> tuple[float, float] | None:
        return None if low is None or high is None else (place(low), place(high))

    return Ranges(
        narrow=pair(forecast.lower_50, forecast.upper_50),
        middle=(place(forecast.lower), place(forecast.upper)),
        wide=pair(forecast.lower_99, forecast.upper_99),
        mark=place(forecast.expected),
        budget=None if budget is None else place(budget),
        text=f"{number(forecast.expected)} expected, 90% interval {number(forecast.lower)} to "
        f"{number(forecast.upper)}, on a scale from 0 to {number(scale)}"
        + ("" if budget is None else f", budget {number(budget)}"),
    )


def heat_level(value: float | None, heat: HeatMap) -> int | None:
    """Shade of a cell, 0 to 4 and darkest for the largest; None without a value."""
    if value is None:
        return None
    largest = max((v for row in heat.rows for v in row.values if v is not None), default=0.0)
    if value <= 0 or largest <= 0:
        return 0
    below = math.floor(_SHADES_PER_DECADE * math.log10(largest / value))
    return max(0, HEAT_LEVELS - 1 - below)


def _time_ticks(since: datetime, until: datetime) -> tuple[Tick, ...]:
    """Midnights UTC of a span of days, whole hours of a shorter one; at most eight."""
    length = until - since
    days = length > timedelta(days=2)
    step = timedelta(days=1) if days else timedelta(hours=1)
    step *= max(1, math.ceil(length / step / _MOST_TICKS))
    moment = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if days:
        moment = moment.replace(hour=0)
    ticks = []
    while moment <= until:
        if moment >= since:
            label = f"{moment:%b} {moment.day}" if days else f"{moment:%H}:00"
            ticks.append(Tick(round(PLOT_WIDTH * ((moment - since) / length), 1), label))
        moment += step
    return tuple(ticks)


def _value_ticks(top: float) -> tuple[Tick, ...]:
    """Round numbers from 0, at most five."""
    raw = top / 4
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in _STEPS if factor * magnitude >= raw * (1 - 1e-9))
    count = math.floor(top / step + 1e-9)
    return tuple(
        Tick(round(PLOT_HEIGHT * (1 - place * step / top), 1), number(place * step))
        for place in range(count + 1)
    )
