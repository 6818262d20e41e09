"""When the system clock is set: how far the wall clock moved against one that only runs forward.

    step = (wall now - wall before) - (steady now - steady before)

Small steps are what NTP does all day and are passed over. A clock that is set forward makes overdue runs start at once,
as after a downtime. One that is set back would leave every run as far in the future as it went back, so the schedule is
planned anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_TOLERANCE = timedelta(seconds=1)


def _wall() -> datetime:
    return datetime.now(UTC)


class ClockSteps:
    """Notices that the wall clock was set.

    Args:
        wall: the present moment, aware. steady: seconds that only grow.
    """

    def __init__(
        self, wall: Callable[[], datetime] = _wall, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        self._before = wall(), steady()

    def take(self) -> timedelta:
        """How far the wall clock was set since the last call, negative where it went back; zero for small steps."""
        (wall, steady), self._before = self._before, (self._wall(), self._steady())
        step = (self._before[0] - wall) - timedelta(seconds=self._before[1] - steady)
        return step if abs(step) > _TOLERANCE else timedelta(0)
