"""The Pareto tail index k-hat of importance-sampling terms.

A generalised Pareto distribution is fitted to the largest terms. Above 0.7 the mean of the terms converges too slowly
to be trusted at any practical number of draws (Vehtari et al. 2024). The fit is the profile estimator of Zhang &
Stephens (2009), with the weak prior k = 0.5 on ten pseudo-observations of Vehtari et al.
"""

from __future__ import annotations

import numpy as np

from riskmon.records import FloatArray

_SMALLEST_TAIL = 5


def tail_index(values: FloatArray) -> float | None:
    """k-hat of the positive values' upper tail.

    The tail holds the largest min(n/5, 3 sqrt(n)) of the n positive values; None when that is fewer than five.
    Equal values have no tail and give -inf-free, strongly negative indices, never an error.
    """
    positive = np.sort(values[values > 0])
    size = int(min(0.2 * len(positive), 3 * np.sqrt(len(positive))))
    if size < _SMALLEST_TAIL:
        return None
    scaled = positive / positive[-1]
    excess = scaled[-size:] - scaled[-size - 1]
    excess = excess[excess > 0]
    if len(excess) < _SMALLEST_TAIL:
        return None
    return _fit_shape(excess)


def _fit_shape(excess: FloatArray) -> float:
    """Shape k of a generalised Pareto distribution; `excess` is sorted, positive, [m]."""
    m = len(excess)
    grid = 30 + int(np.sqrt(m))
    quartile = excess[int(m / 4 + 0.5) - 1]
    candidates = 1 / excess[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * quartile)
    shapes = np.log1p(-candidates[:, None] * excess).mean(axis=1)
    # A candidate of 0 is the exponential distribution, with the mean as its scale.
    flat = candidates == 0
    scales = np.where(flat, excess.mean(), -shapes / np.where(flat, 1.0, candidates))
    profile = m * (-np.log(scales) - shapes - 1)
    posterior = 1 / np.exp(profile - profile[:, None]).sum(axis=1)
    theta = float((candidates * posterior).sum() / posterior.sum())
    shape = float(np.log1p(-theta * excess).mean())
    return (m * shape + 10 * 0.5) / (m + 10)
