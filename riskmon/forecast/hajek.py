"""How far other prompts would have moved the weighted mean of the sampled ones.

With shares s_i = w_i / N, N the requests that the sample stands for, the mean is sum_i s_i p_i. Where weights add up
to N it is a ratio (Hajek 1971), and what makes it move is how p_i differs from it. Where they do so on average only,
since prompts were sampled by risk, it is a sum (Horvitz & Thompson 1952) and moves with all of p_i: linearised,

    Var = sum_i s_i^2 (p_i - c_i p_bar)^2,        c_i = 1 for weights that add up, else 0

The sum over prompts sampled by risk has covariances of zero (Duffield, Lund & Thorup 2007), so none are missing here.
"""

from __future__ import annotations

from riskmon.records import BoolArray, FloatArray


def hajek_variance(p: FloatArray, share: FloatArray, calibrated: BoolArray | None = None) -> float:
    """Variance of the mean sum_i share_i p_i, linearised, times m / (m - 1).

    Args:
        p: [m] values. share: [m] parts of the requests.
        calibrated: [m] c_i; all where it is left out.

    Returns:
        0 for a single prompt, which shows nothing.
    """
    m = len(p)
    if m == 1:
        return 0.0
    centre = share @ p if calibrated is None else calibrated * (share @ p)
    return float(((share * (p - centre)) ** 2).sum()) * m / (m - 1)
