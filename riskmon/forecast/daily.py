"""One forecast run: estimates of the lookback and counts of weeks in, forecasts of days and a week out.

Volume is predicted once and shared by all harms, so that their figures speak of the same possible days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np

from riskmon.config import ForecastConfig
from riskmon.config.volume import VolumeConfig
from riskmon.forecast.aggregate import forecast
from riskmon.forecast.moved import after_moves, moves
from riskmon.forecast.outlook import predict_volume
from riskmon.records import CoverageCount, Forecast, JudgeError, VolumeWindow, WeightedEstimate


def make_forecasts(
    config: ForecastConfig,
    *,
    window: timedelta,
    windows: Sequence[VolumeWindow],
    estimates: Sequence[WeightedEstimate],
    harms: Sequence[str],
    now: datetime,
    rng: np.random.Generator,
    coverage: Sequence[CoverageCount] = (),
    judge_errors: Mapping[str, JudgeError] = MappingProxyType({}),
    budgets: Mapping[str, float] = MappingProxyType({}),
    volume_config: VolumeConfig | None = None,
) -> list[Forecast]:
    """Forecast harmful outputs of the 24 hours from `now`.

    Args:
        config: lookback and number of draws; estimates of windows that ended before the lookback are left out, and
            so are those before p moved (`moved`).
        window: length of a counting window.
        windows: exact request counts, as far back as there are any: the volume model decides how far back counts
            tell of tomorrow.
        estimates: estimates with their survey weights, those of the day before the last one among them if there are.
        harms: names of the harms, in the order wanted.
        now: aware UTC time.
        rng: source of chance.
        coverage: draws of the target, the lookback's and those of earlier days, per harm and stratum; without them
            upper limits rest on the lookback alone.
        judge_errors: measured errors of the judges, by harm; a harm without one is forecast as judged.
        budgets: harmful outputs a day that are tolerated, by harm.
        volume_config: local calendar and history of the volume model; UTC and eight weeks when left out.

    Returns:
        Per harm with at least one estimate: one forecast per stratum with traffic, then the total
        (`stratum` None), then the totals of today and of seven days. Empty without traffic.
    """
    oldest = now - config.lookback - window
    volume_config = volume_config or VolumeConfig()
    volume, outlook = predict_volume(
        windows, window=window, now=now, draws=config.draws, rng=rng, config=volume_config
    )
    moved = moves(estimates, now)
    recent = [item for item in after_moves(estimates, moved) if item.cell[0] > oldest]
    return forecast(
        recent,
        volume,
        harms,
        now=now,
        draws=config.draws,
        rng=rng,
        coverage=coverage,
        judge_errors=judge_errors,
        outlook=outlook,
        moved=moved,
        budgets=budgets,
        retries=config.retries,
    )
