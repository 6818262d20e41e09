"""All traffic together: shape of the day times level, as rates of the coming hours.

In come the hourly counts of the strata that stand, added up; out go the expected rate of each coming hour and draws
of it, before Poisson noise. `profile` gives the shape of the day, `level` the rest. Hours of the future start at any
minute: the rate of hour k is mixed from the two hours of the grid that it overlaps. What an hour strays from its
block's level, beyond Poisson, is drawn for each hour alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.config.volume import VolumeConfig
from riskmon.forecast.volume.calendar import HOUR, LocalHours, local_hours
from riskmon.forecast.volume.chance import lognormal_one, mean_one
from riskmon.forecast.volume.hours import HourlyCounts
from riskmon.forecast.volume.level import fit_level
from riskmon.forecast.volume.profile import Profile, fit_profile
from riskmon.forecast.volume.series import BLOCK, Blocks
from riskmon.records import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TotalRates:
    """Requests of all strata together.

    Attributes:
        mean: [H] expected. draws: [B, H] rates. profile: shape of the day, and what of the history was usable.
    """

    mean: FloatArray
    draws: FloatArray
    profile: Profile


def predict_total(
    hourly: HourlyCounts,
    requests: FloatArray,
    local: LocalHours,
    *,
    hours: int,
    draws: int,
    rng: np.random.Generator,
    config: VolumeConfig,
) -> TotalRates:
    """Predict H = `hours` hours from now.

    Args:
        hourly: the grid; at least a day of it known.
        requests: [n] the total.
        local: [n] labels of the grid's hours.
        hours, draws: H, B. rng: source of chance. config: the calendar.
    """
    profile = fit_profile(requests, hourly.covered, local)
    expected = profile.usable * profile.shape[local.slot]
    blocks = _blocks(np.where(profile.usable > 0, requests, 0.0), expected, profile.usable, local)
    first = len(profile.level) % BLOCK
    level = fit_level(blocks, np.log(profile.level[first:]).reshape(-1, BLOCK).mean(axis=1))

    # The grid from the hour in progress on: H + 1 hours, the first of which is partly over.
    ahead = local_hours(hourly.start + (len(hourly) - 1) * HOUR, hours + 1 + BLOCK, config)
    block = np.maximum(np.arange(hours + 1) - 1, 0) // BLOCK
    coming = ahead[1 : 1 + (block[-1] + 1) * BLOCK]
    weekend, days = _loadings(coming)
    stray = _stray(requests, profile, local)
    centre, logs = level.draw(weekend, days, draws, rng, hourly_variance=stray)
    grid = np.exp(centre[block]) * profile.shape[ahead.slot[: hours + 1]]  # [H + 1]
    rates = grid * lognormal_one(logs)[:, block] * mean_one(stray, (draws, hours + 1), rng)
    past = hourly.elapsed
    return TotalRates(
        mean=(1 - past) * grid[:-1] + past * grid[1:],
        draws=(1 - past) * rates[:, :-1] + past * rates[:, 1:],
        profile=profile,
    )


def _blocks(requests: FloatArray, expected: FloatArray, usable: FloatArray, local: LocalHours) -> Blocks:
    """Blocks of four hours counted back from now; hours of an unfinished first block are left out."""
    first = len(requests) % BLOCK
    y, m, u = (x[first:].reshape(-1, BLOCK) for x in (requests, expected, usable))
    weekend, days = _loadings(local[first:])
    return Blocks(y.sum(axis=1), m.sum(axis=1), u.mean(axis=1), weekend, days)


def _loadings(local: LocalHours) -> tuple[FloatArray, FloatArray]:
    """Share of each block on a weekend [K] and on each day of the week [K, 7]."""
    weekend: FloatArray = local.weekend.reshape(-1, BLOCK).mean(axis=1)
    days: FloatArray = np.eye(7)[local.weekday].reshape(-1, BLOCK, 7).mean(axis=1)
    return weekend, days


def _stray(requests: FloatArray, profile: Profile, local: LocalHours) -> float:
    """Variance of an hour's rate around its block's, relative, beyond Poisson's; recent weeks only."""
    first = len(requests) % BLOCK
    expected = profile.usable * profile.shape[local.slot]
    y = np.where(profile.usable > 0, requests, 0.0)[first:].reshape(-1, BLOCK)[-168:]
    m = expected[first:].reshape(-1, BLOCK)[-168:]
    mu = m * (y.sum(axis=1) / np.maximum(m.sum(axis=1), 1e-9))[:, None]
    degrees = (BLOCK - 1) / BLOCK
    excess = float(((y - mu) ** 2).sum() / degrees - mu.sum())
    return float(np.clip(excess / max(float((mu**2).sum()), 1e-9), 0.0, 4.0))
