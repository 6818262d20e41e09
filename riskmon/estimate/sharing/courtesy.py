"""When to rest and when to go on, from how busy others keep the device.

In come readings u_t in [0, 1] at uneven times, out comes whether to rest. Readings are smoothed with a time constant s,

    level_t = level_{t-1} + (u_t - level_{t-1}) (1 - exp(-(t - t_{t-1}) / s)),

so that one short request does not stop a cycle. Rest begins when the level passes `most` and ends when it is down to
`resume`, which is lower, so that it does not flap.
"""

from __future__ import annotations

import math


class Courtesy:
    """Decides from one reading after another.

    Attributes:
        level: the smoothed utilisation by others, in [0, 1]; 0 before the first reading.
        resting: what was decided last.
    """

    def __init__(self, most: float, resume: float, smoothing_s: float) -> None:
        """Begin at work.

        Args:
            most: level above which work rests. resume: level at which it goes on, not above `most`.
            smoothing_s: time constant.
        """
        self._most = most
        self._resume = resume
        self._smoothing_s = smoothing_s
        self._read_at: float | None = None
        self.level = 0.0
        self.resting = False

    def see(self, utilization: float, now: float) -> bool:
        """Take a reading; returns whether to rest.

        Args:
            utilization: by others, in [0, 1]. now: seconds on any clock that does not go back.
        """
        if self._read_at is None:
            self.level = utilization
        else:
            trust = -math.expm1(-(now - self._read_at) / self._smoothing_s)
            self.level += (utilization - self.level) * trust
        self._read_at = now
        self.resting = self.level > (self._resume if self.resting else self._most)
        return self.resting
