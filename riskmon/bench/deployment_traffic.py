"""Requests of a simulated deployment: hour by hour, with the habits and accidents of real traffic.

    mean of hour t = daily / 24 * (1 + swing sin(2 pi (t - 8 h) / 24 h)) * weekend * exp(trend d) * steps

d is the time in days, `weekend` applies to Saturdays and Sundays (UTC), a step is a factor from its day on. Counts are
Poisson around that mean times two gamma factors of mean 1: one per hour, and one per day that all its hours share.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from riskmon.records import FloatArray, IntArray

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

START = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday, midnight."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """How a stratum's requests come.

    Attributes:
        daily: mean requests of a weekday at the start.
        swing: relative amplitude of the daily cycle, at most 1.
        weekend: factor on Saturdays and Sundays.
        trend: growth per day, logarithmic.
        hour_noise, day_noise: relative sd of the gamma factors.
        steps: (day, factor) from which day on the level is multiplied; a launch is a step from 0.
        launched, gone: days between which there is traffic at all.
    """

    daily: float
    swing: float = 0.4
    weekend: float = 0.8
    trend: float = 0.0
    hour_noise: float = 0.05
    day_noise: float = 0.03
    steps: tuple[tuple[float, float], ...] = ()
    launched: float = 0.0
    gone: float = np.inf

    def means(self, hours: int) -> FloatArray:
        """[H] mean requests of every hour from START on, before noise."""
        day = np.arange(hours) / 24  # [H]
        cycle = 1 + self.swing * np.sin(2 * np.pi * (day - 8 / 24))
        saturday_or_sunday = (START.weekday() + np.floor(day)) % 7 >= 5
        level = np.exp(self.trend * day) * np.where(saturday_or_sunday, self.weekend, 1.0)
        means: FloatArray = self.daily / 24 * cycle * level * steps(self.steps, day)
        return np.where((day >= self.launched) & (day < self.gone), means, 0.0)

    def draw(self, hours: int, rng: np.random.Generator) -> IntArray:
        """[H] counts of requests."""
        days = -(-hours // 24)
        per_day = np.repeat(_mean_one(self.day_noise, days, rng), 24)[:hours]
        counts: IntArray = rng.poisson(self.means(hours) * per_day * _mean_one(self.hour_noise, hours, rng))
        return counts


def steps(at: tuple[tuple[float, float], ...], day: FloatArray) -> FloatArray:
    """[H] product of the factors whose day has come."""
    level = np.ones(len(day))
    for start, factor in at:
        level = np.where(day >= start, level * factor, level)
    return level


def _mean_one(sd: float, size: int, rng: np.random.Generator) -> FloatArray:
    return rng.gamma(1 / sd**2, sd**2, size=size) if sd > 0 else np.ones(size)
