"""Forecasts, and the weighted estimates they are made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from riskmon.records.estimates import Estimate
from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class WeightedEstimate:
    """An estimate with the number of requests it stands for (inverse of its inclusion probability).

    Attributes:
        weight: requests represented, N_cell / (estimated prompts of that cell).
        population: requests of the cell, N_cell.
    """

    estimate: Estimate
    weight: float
    cell: tuple[datetime, Stratum]
    population: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected harmful outputs of the next 24 hours; `stratum` None means the total over strata.

    Attributes:
        expected: expected count. lower, upper: 90% prediction interval of the count.
        any_probability: P(at least one).
        daily_requests: predicted volume.
        harm_probability: traffic-weighted mean p(x). harm_probability_upper: 95% upper limit of it.
        worst_query_probability: extrapolated largest p(x) of the day; None when refused.
        prompts: estimated prompts behind it. hits: harmful draws behind it.
        basis: one short phrase that says what the volume rests on.
    """

    harm: str
    stratum: Stratum | None
    made_at: datetime
    expected: float
    lower: float
    upper: float
    any_probability: float
    daily_requests: float
    harm_probability: float
    harm_probability_upper: float
    worst_query_probability: float | None
    prompts: int
    hits: int
    basis: str = ""
