"""One `Forecast` from its parts: requests and a mean rate, each in [B] draws, and what was worked out beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np

from riskmon.forecast.count import count_limits
from riskmon.forecast.outlook import Span
from riskmon.forecast.retry import RetryRisk
from riskmon.records import FloatArray, Forecast, Horizon, Stratum, VarianceShares

UPPER = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class HarmRun:
    """What all forecasts of one harm share.

    Attributes:
        budget: harmful outputs a day that are tolerated; None without one.
        retries: answers to one prompt that the retry risk speaks of.
        draws: number B of draws. rng: source of chance.
        moved: strata whose p moved within the lookback, and when.
    """

    name: str
    budget: float | None
    retries: int
    now: datetime
    draws: int
    rng: np.random.Generator
    moved: Mapping[Stratum, datetime]


@dataclass(frozen=True, slots=True, eq=False)
class MeanRate:
    """Mean probability of harm per request: p_bar, [B] draws of it, and [B] with what was not seen."""

    point: float
    plain: FloatArray
    cautious: FloatArray


def compose(
    harm: HarmRun,
    stratum: Stratum | None,
    horizon: Horizon,
    requests: Span,
    rate: MeanRate,
    *,
    worst: float | None,
    prompts: int,
    hits: int,
    variance: VarianceShares | None,
    retry: RetryRisk | None = None,
) -> Forecast:
    """The forecast of one horizon; `stratum` None is the total."""
    # A stratum has no budget of its own.
    budget = None if harm.budget is None or stratum is not None else harm.budget * horizon.days
    limits = count_limits(requests.draws * rate.plain, requests.draws * rate.cautious, budget, harm.rng)
    return Forecast(
        harm=harm.name,
        stratum=stratum,
        made_at=harm.now,
        expected=requests.mean * rate.point,
        requests=requests.mean,
        requests_stderr=float(requests.draws.std()),
        harm_probability=rate.point,
        harm_probability_upper=float(np.quantile(rate.cautious, UPPER)),
        harm_probability_stderr=float(rate.plain.std()),
        worst_query_probability=worst,
        prompts=prompts,
        hits=hits,
        basis=requests.basis,
        horizon=horizon,
        variance=variance,
        retries=None if retry is None else retry.retries,
        retry_probability=None if retry is None else retry.value,
        retry_lower=None if retry is None else retry.low,
        retry_upper=None if retry is None else retry.high,
        **asdict(limits),
    )
