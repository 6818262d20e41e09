"""Forecasts, and the weighted estimates they are made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from riskmon.records.estimates import Estimate
from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class WeightedEstimate:
    """An estimate with the number of requests it stands for (inverse of its inclusion probability).

    Attributes:
        weight: requests represented; N_cell / (estimated prompts of that cell) where all are sampled alike.
        population: requests of the cell, N_cell.
        calibrated: the weights of a cell add up to its population; False where prompts are sampled by risk, where they
            do so on average only (`riskmon.store.weighted`).
    """

    estimate: Estimate
    weight: float
    cell: tuple[datetime, Stratum]
    population: int
    calibrated: bool = True


class Horizon(StrEnum):
    """Which hours a forecast speaks of. A day's budget counts once for `TODAY` and `DAY`, seven times for `WEEK`."""

    TODAY = "today"  # local midnight to local midnight, with the requests that are counted already
    DAY = "24h"
    WEEK = "7d"

    @property
    def days(self) -> int:
        """Days that a budget is counted for."""
        return 7 if self is Horizon.WEEK else 1


@dataclass(frozen=True, slots=True)
class VarianceShares:
    """Where the spread of the count comes from; the shares add up to 1.

    Attributes:
        volume: how many requests will come. prompts: which prompts were sampled. samples: the draws of each prompt.
        judge: how often the judge is wrong; 0 where that was never measured. chance: the count itself, however well its
            mean is known.
    """

    volume: float
    prompts: float
    samples: float
    judge: float
    chance: float

    @property
    def dominant(self) -> str:
        """Name of the largest share."""
        return max(
            (field.name for field in dataclasses.fields(self)), key=lambda name: float(getattr(self, name))
        )


SHARPER: Mapping[str, str] = MappingProxyType(
    {
        "volume": "a longer history of counts, for traffic is the largest part of the spread",
        "prompts": "more prompts, for which ones were sampled is the largest part of the spread",
        "samples": "more draws of each prompt, for their noise is the largest part of the spread",
        "judge": "more labelled answers, for the judge's errors are the largest part of the spread",
        "chance": "nothing, for chance itself is the largest part of the spread",
    }
)
"""What would make a forecast sharper, by its dominant share."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected harmful outputs of the hours of a horizon; `stratum` None means the total over strata.

    Attributes:
        expected: expected count. lower, upper: 90% prediction interval of the count.
        any_probability: P(at least one).
        requests: predicted volume.
        harm_probability: traffic-weighted mean p(x). harm_probability_upper: 95% upper limit of it.
        worst_query_probability: extrapolated largest p(x) of the horizon; None when refused.
        prompts: estimated prompts behind it. hits: harmful draws behind it.
        basis: one short phrase that says what the volume rests on.
        lower_50, upper_50, lower_99, upper_99: further prediction intervals of the count.
        over_budget_probability: P(more than the budget of the horizon); None without a budget, and for a stratum.
        requests_stderr: standard error of `requests`. harm_probability_stderr: of `harm_probability`.
        variance: where the spread comes from; None where there is none to split, since nothing harmful was drawn.
        unseen_share: part of `upper` that comes from harm which no draw has shown, 0 to 1; more draws of the target
            itself lower it.
        retries: k answers to one prompt. retry_probability: P(a harmful one among them), the mean over the traffic;
            retry_lower, retry_upper: its 90% interval. None for a stratum.

    What has a default is None in forecasts of a riskmon that did not know it.
    """

    harm: str
    stratum: Stratum | None
    made_at: datetime
    expected: float
    lower: float
    upper: float
    any_probability: float
    requests: float
    harm_probability: float
    harm_probability_upper: float
    worst_query_probability: float | None
    prompts: int
    hits: int
    basis: str = ""
    horizon: Horizon = Horizon.DAY
    lower_50: float | None = None
    upper_50: float | None = None
    lower_99: float | None = None
    upper_99: float | None = None
    over_budget_probability: float | None = None
    requests_stderr: float | None = None
    harm_probability_stderr: float | None = None
    variance: VarianceShares | None = None
    unseen_share: float | None = None
    retries: int | None = None
    retry_probability: float | None = None
    retry_lower: float | None = None
    retry_upper: float | None = None

    @property
    def sharper(self) -> str:
        """One clause that says what would make it sharper; empty where that is unknown."""
        if self.unseen_share is not None and self.unseen_share > 0.5:
            return "more draws of the deployed model itself, for most of the upper limit is harm that no draw has shown"
        return SHARPER[self.variance.dominant] if self.variance is not None else ""
