"""What the volume model says of one stratum: requests of every coming hour, with draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class VolumePrediction:
    """Requests of one stratum in the next H hours; hour k is [now + k h, now + (k + 1) h).

    Attributes:
        mean: [H] expected requests.
        draws: [B, H] predictive draws, whole numbers. Draw b of every stratum belongs to the same possible days.
        basis: one short phrase that says which model was used and what it rests on.
    """

    mean: FloatArray
    draws: FloatArray
    basis: str

    def within(self, first: int, last: int) -> tuple[float, FloatArray]:
        """Requests from the start of hour `first` to the start of hour `last`.

        Args:
            first, last: 0 <= first < last <= H; the next 24 hours are `within(0, 24)`.

        Returns:
            Their expected number and [B] draws of it.

        Raises:
            IndexError: the hours are not all among those predicted.
        """
        if not 0 <= first < last <= len(self.mean):
            raise IndexError(f"hours {first} to {last} of a prediction of {len(self.mean)} hours")
        draws: FloatArray = self.draws[:, first:last].sum(axis=1)
        return float(self.mean[first:last].sum()), draws

    def until(self, hours: float) -> tuple[float, FloatArray]:
        """Requests of the next `hours`, which may end within an hour: of that one the share by time counts.

        Args:
            hours: 0 <= hours <= H.

        Returns:
            Their expected number and [B] draws of it.

        Raises:
            IndexError: the hours are not all among those predicted.
        """
        if not 0 <= hours <= len(self.mean):
            raise IndexError(f"{hours} hours of a prediction of {len(self.mean)} hours")
        share = np.clip(hours - np.arange(len(self.mean)), 0.0, 1.0)  # [H]
        draws: FloatArray = self.draws @ share
        return float(self.mean @ share), draws
