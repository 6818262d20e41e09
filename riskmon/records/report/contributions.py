"""What a harm's forecast rests on: single prompts, and strata by day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class Contributor:
    """A prompt that the forecast rests on.

    Attributes:
        weight: requests it stands for. contribution: weight * p, harmful outputs of the lookback.
        share: of the harm's sum of contributions.
        p: None below the judge's floor. ci_low, ci_high: 95% working interval. upper_bound: guaranteed.
        excerpt: redacted production text; None unless it is switched on, or where the text is gone.
    """

    prompt_id: str
    stratum: Stratum
    window_start: datetime
    weight: float
    p: float | None
    ci_low: float
    ci_high: float
    upper_bound: float
    contribution: float
    share: float
    n: int
    hits: int
    flags: tuple[str, ...]
    excerpt: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HeatRow:
    """Mean probability of harm of one stratum by day; None on a day without an estimated prompt."""

    stratum: Stratum
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Mean p by stratum and UTC day, weighted by the requests that a prompt stands for.

    Attributes:
        days: oldest first. rows: the largest forecasts first, each with one value a day. hidden: strata left out.
    """

    days: tuple[date, ...]
    rows: tuple[HeatRow, ...]
    hidden: int
