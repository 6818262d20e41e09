"""Simulated traffic with a known rate: shape of the day, weekends, trend, and three kinds of noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np

from riskmon.records import FloatArray, Stratum, VolumeWindow

HOUR = timedelta(hours=1)
ALL = Stratum()
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """Requests a day, and how they vary; sds are of logs.

    Attributes:
        walk: of the level, per day. lasting: of an autoregression of 12 hours. hourly: of each hour, independent.
        weekend: traffic of a weekend day against a working day. trend: growth per day.
    """

    daily: float
    walk: float = 0.05
    lasting: float = 0.03
    hourly: float = 0.05
    trend: float = 0.002
    weekend: float = 0.65

    def rates(self, start: datetime, hours: int, rng: np.random.Generator, zone: tzinfo = UTC) -> FloatArray:
        """[hours] expected requests of each hour from `start`."""
        local = [(start + k * HOUR).astimezone(zone) for k in range(hours)]
        clock = np.array([at.hour + at.minute / 60 for at in local]) + 0.5
        shape = 1 + 0.6 * np.sin((clock - 9) * np.pi / 12) + 0.15 * np.sin((clock - 2) * np.pi / 6)
        shape *= np.where([at.weekday() >= 5 for at in local], self.weekend, 1.0)
        kept = np.exp(-1 / 12)
        lasting = np.zeros(hours)
        lasting[0] = rng.normal(0, self.lasting)
        for k, shock in enumerate(rng.normal(0, self.lasting * np.sqrt(1 - kept**2), hours - 1), start=1):
            lasting[k] = kept * lasting[k - 1] + shock
        level = np.cumsum(rng.normal(0, self.walk / np.sqrt(24), hours))
        growth = self.trend * np.arange(hours) / 24
        noise = rng.normal(0, self.hourly, hours)
        rates: FloatArray = self.daily / 24 * shape * np.exp(level + growth + lasting + noise)
        return rates


def windows_of(
    start: datetime, counts: Sequence[float] | FloatArray, stratum: Stratum = ALL
) -> list[VolumeWindow]:
    """Windows of an hour, as a store holds them: none where there was no request."""
    return [VolumeWindow(start + k * HOUR, stratum, int(n)) for k, n in enumerate(counts) if n > 0]
