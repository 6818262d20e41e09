"""What a gate asks: how busy others keep the device."""

from __future__ import annotations

from typing import Protocol


class Unknowable(Exception):
    """Utilisation by others cannot be read; the message is one sentence without a full stop that says why."""


class Source(Protocol):
    """Where readings come from.

    Attributes:
        still_s: seconds that the device must rest before a reading is certainly one of others alone.
    """

    still_s: float

    def others(self, rested: float) -> float | None:
        """Share of the last while in which others kept the device busy, in [0, 1].

        Args:
            rested: seconds since this process last worked the device; 0 while it does.

        Returns:
            None where it cannot be told from this process's own work.

        Raises:
            Unknowable: the device does not say.
        """
