"""Local time: which hour of the day and which day of the week an hour of UTC is.

Counts lie on a grid of UTC, which has no hour twice and none missing. Habits follow the clock on the wall, so every
hour of the grid is labelled with its local hour and day, taken in its middle. On the day when clocks go forward one
local hour does not occur, on the day they go back one occurs twice; nothing else is needed. A holiday is a Sunday.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from riskmon.config.volume import VolumeConfig

HOUR = timedelta(hours=1)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SUNDAY = 6


@dataclass(frozen=True, slots=True, eq=False)
class LocalHours:
    """Labels of n consecutive hours: local hour of the day 0..23, day of the week 0..6 (Monday first), weekend.

    All of shape [n].
    """

    hour: NDArray[np.int64]
    weekday: NDArray[np.int64]
    weekend: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.hour)

    def __getitem__(self, part: slice) -> LocalHours:
        return LocalHours(self.hour[part], self.weekday[part], self.weekend[part])

    @property
    def slot(self) -> NDArray[np.int64]:
        """[n] index 0..47 of the hour of day, weekends apart."""
        slot: NDArray[Any] = self.hour + 24 * self.weekend
        return slot


def local_hours(start: datetime, hours: int, config: VolumeConfig) -> LocalHours:
    """Label consecutive hours from `start` (aware)."""
    zone, holidays = ZoneInfo(config.timezone), frozenset(config.holidays)
    middles = [(start + k * HOUR + HOUR / 2).astimezone(zone) for k in range(hours)]
    weekday = np.array([_day(at, holidays) for at in middles], dtype=np.int64)
    weekend = [_DAYS.index(day) for day in config.weekend]
    return LocalHours(
        np.array([at.hour for at in middles], dtype=np.int64), weekday, np.isin(weekday, weekend)
    )


def _day(at: datetime, holidays: Collection[date]) -> int:
    return _SUNDAY if at.date() in holidays else at.weekday()
