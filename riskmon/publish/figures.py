"""Numbers and times as people read them.

Three significant digits, thousands separated, tiny values as 1.2e-5, unknown as a dash. Rounding is for the eye
only; metrics carry the full value.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from riskmon.records import Horizon

UNKNOWN = "–"
HORIZONS = {Horizon.TODAY: "today", Horizon.DAY: "next 24 h", Horizon.WEEK: "next 7 days"}
"""How horizons are called, in the order in which they are shown."""


def number(value: float | None) -> str:
    """Three significant digits: 1234567 -> `1,230,000`, 3.14159 -> `3.14`, 0.0000123 -> `1.23e-5`.

    A dash for None and NaN.
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    magnitude = math.floor(math.log10(abs(rounded)))
    if magnitude < -3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    text = f"{rounded:,.{max(0, 2 - magnitude)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def signed(value: float | None) -> str:
    """A change, as `number` writes it and with its sign: 12.3 -> `+12.3`, -0.5 -> `−0.5`, 0 -> `0`."""
    if value is None or math.isnan(value) or value == 0:
        return number(value)
    return f"{'+' if value > 0 else '−'}{number(abs(value))}"


def exact(value: int | None) -> str:
    """A whole number with thousands separated; a dash for None."""
    return UNKNOWN if value is None else f"{value:,d}"


def percent(value: float | None) -> str:
    """A share as a percentage: 0.0122 -> `1.22%`; a dash for None and NaN."""
    return UNKNOWN if value is None or math.isnan(value) else f"{number(100 * value)}%"


def chance(value: float | None) -> str:
    """A forecast probability as a percentage that never claims certainty: 0.99997 and 1.0 -> `> 99.9%`."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if value > 0.999:
        return "> 99.9%"
    return "< 0.1%" if value < 0.001 else percent(value)


def span(duration: timedelta) -> str:
    """A duration in its two largest units: `3 h 12 min`, `41 s`."""
    seconds = max(0, round(duration.total_seconds()))
    for size, unit, part_size, part in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // part_size
            return f"{seconds // size} {unit} {rest} {part}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def ago(moment: datetime, now: datetime) -> str:
    """How long before `now` something happened: `3 h 12 min ago`, `just now`."""
    age = now - moment
    return "just now" if age < timedelta(seconds=2) else f"{span(age)} ago"


def clock(moment: datetime) -> str:
    """A UTC time to the minute: `2026-11-03 14:05 UTC`."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
