"""Draws that the models share: multipliers of mean one, and counts."""

from __future__ import annotations

import numpy as np

from riskmon.records import FloatArray

LARGE = 1000.0
"""From this mean on a Poisson count is drawn as a rounded normal, much faster and the same to a part in a hundred."""


def mean_one(variance: float, size: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    """Gamma draws with mean 1 and the given variance."""
    if variance <= 0:
        return np.ones(size)
    return rng.gamma(1 / variance, variance, size=size)


def lognormal_one(logs: FloatArray) -> FloatArray:
    """exp of [B, ...] log deviations, divided by its mean over the B draws: the centre stays where it is."""
    draws = np.exp(logs)
    scaled: FloatArray = draws / draws.mean(axis=0)
    return scaled


def counts_of(rates: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Poisson counts with the given means, as float64 whole numbers."""
    if rates.size and rates.min() >= LARGE:
        counts = np.rint(rates + np.sqrt(rates) * rng.standard_normal(rates.shape))
        return np.maximum(counts, 0.0)
    return rng.poisson(rates).astype(np.float64)
