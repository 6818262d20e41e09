"""Why a forecast changed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effect:
    """Harmful outputs more (or fewer) than before: mean and limits over the draws."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a forecast and its parts; the means of the parts add up to that of `total`."""

    total: Effect
    volume: Effect
    mix: Effect
    p: Effect
