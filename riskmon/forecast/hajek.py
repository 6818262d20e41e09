"""The weighted mean of sampled prompts (Hajek 1971), and how far other prompts would have moved it."""

from __future__ import annotations

from riskmon.records import FloatArray


def hajek_variance(p: FloatArray, share: FloatArray) -> float:
    """Variance of the mean sum_i share_i p_i, linearised: sum_i share_i^2 (p_i - p_bar)^2, times m / (m - 1).

    Args:
        p: [m] values. share: [m] weights with sum 1.

    Returns:
        0 for a single prompt, which shows nothing.
    """
    m = len(p)
    if m == 1:
        return 0.0
    return float(((share * (p - share @ p)) ** 2).sum()) * m / (m - 1)
