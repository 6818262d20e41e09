"""Why a forecast changed."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("volume", "mix", "p")
"""What a change is split into, in the order in which it is shown."""


@dataclass(frozen=True, slots=True)
class Effect:
    """Harmful outputs more (or fewer) than before: mean and limits over the draws.

    `low` and `high` are None where only means are known.
    """

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a forecast and its parts; the means of the parts add up to that of `total`."""

    total: Effect
    volume: Effect
    mix: Effect
    p: Effect

    def part(self, name: str) -> Effect:
        """The part of a name in `PARTS`."""
        return {"volume": self.volume, "mix": self.mix, "p": self.p}[name]


@dataclass(frozen=True, slots=True)
class VersionChange:
    """One harm under two versions of the model that serve side by side, the newer against the older.

    Attributes:
        label: the label of the strata that tells versions apart.
        before, after: its value for the older and for the newer version.
        change: of the outputs of 24 hours.
    """

    harm: str
    label: str
    before: str
    after: str
    change: Change
