"""Weighted estimates with the few facts a forecast looks at."""

from __future__ import annotations

from datetime import UTC, datetime

from riskmon.records import Estimate, Stratum, WeightedEstimate

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
UNSTRATIFIED = Stratum()


def weighted_estimate(
    p: float,
    *,
    stderr: float | None = None,
    weight: float = 1.0,
    population: int = 1_000_000,
    stratum: Stratum = UNSTRATIFIED,
    harm: str = "misuse",
    hits: int = 0,
    target_draws: int = 50,
    gap_hits: int = 0,
    window_start: datetime = NOON,
) -> WeightedEstimate:
    estimate = Estimate(
        prompt_id="8f3a",
        harm=harm,
        stratum=stratum,
        p=p,
        stderr=stderr,
        ci_low=0.0,
        ci_high=1.0,
        upper_bound=1.0,
        n=500,
        hits=hits,
        ess=0.0,
        khat=None,
        weight_mean=1.0,
        flags=(),
        tokens=1,
        device_seconds=0.0,
        target_draws=target_draws,
        gap_hits=gap_hits,
    )
    return WeightedEstimate(estimate, weight, (window_start, stratum), population)
