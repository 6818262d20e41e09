"""Spans that follow from the schedules: how long a risk must last, how old a result may be, how long a cycle takes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from riskmon.config import Config
from riskmon.publish.rules.schedule import longest_gap

_FORECASTS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """Spans of a configuration.

    Attributes:
        forecast_gap: longest time between two forecasts.
        cycle: longest time from the start of one estimate cycle to the end of the next; every span of this length
            holds the whole of at least one.
        sustained: how long a risk lasts before it is an alert.
        estimate_stale, forecast_stale: age beyond which a result is stale.
    """

    forecast_gap: timedelta
    cycle: timedelta
    sustained: timedelta
    estimate_stale: timedelta
    forecast_stale: timedelta

    @classmethod
    def of(cls, config: Config) -> Timing:
        """The spans of a configuration."""
        rules, estimate = config.rules, config.estimate
        estimate_gap = longest_gap(estimate.schedule)
        forecast_gap = longest_gap(config.forecast.schedule)
        return cls(
            forecast_gap=forecast_gap,
            cycle=estimate_gap + estimate.deadline,
            sustained=rules.sustained or _FORECASTS * forecast_gap,
            estimate_stale=rules.stale_runs * estimate_gap + estimate.deadline,
            forecast_stale=rules.forecast_stale_runs * forecast_gap,
        )
