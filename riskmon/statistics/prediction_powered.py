"""A rate that a judge measured on many answers, corrected by people's labels of a few.

With judged verdicts f on all draws, and labels y on a few of them (Angelopoulos et al. 2023, "prediction-powered
inference"):

    estimate = judged rate + d,   d = sum_j v_j (y_j - f_j) / sum_j v_j
    variance = Var(judged rate) + Var(d)
    Var(d)   = m / (m - 1) * sum_j v_j^2 (y_j - f_j - d)^2 / (sum_j v_j)^2

Nothing is assumed about the judge: d is its mean error on this very traffic, so a judge that is wrong in another way
than on the labelled set of `riskmon calibrate judge` does no harm. The variance falls with the judge's errors, not with
the number of labels alone.

**Weights.** v_j is the draw's importance weight divided by its chance to be labelled. Labels are best chosen with a
chance that grows with the contribution w_j f_j, since a false alarm costs most there; but what the judge passed must
keep some chance too, or its misses are never found and the estimate is biased low.

**Labels among the judged draws.** The two parts are added as if independent. They are where the labelled draws were
not used for the judged rate. Where they were, and the judge's errors are mostly false alarms, judged rate and d move
against each other and the stated variance is too large: careful, not wrong.

**Few errors found.** While the labels hold fewer than about ten misses and ten false alarms, d is skewed and
1.96 standard errors cover less than they claim: with two misses among 300 passed answers 91% instead of 95%.
"""

from __future__ import annotations

import numpy as np

from riskmon.records import BoolArray, FloatArray


def ppi_rate(
    judged_rate: float,
    judged_variance: float,
    labels: BoolArray | FloatArray,
    predictions: BoolArray | FloatArray,
    weights: FloatArray | None = None,
) -> tuple[float, float]:
    """The corrected rate and its variance.

    Args:
        judged_rate: what the judge's verdicts on all draws estimate. judged_variance: its variance.
        labels: [m] truth of the labelled draws, 0 or 1.
        predictions: [m] the judge's verdicts on the same draws, by the rule behind `judged_rate`.
        weights: [m] importance weight over chance to be labelled, not negative; None is 1 throughout.

    Returns:
        Estimate, not cut to [0, 1], and variance. Cutting is for reports: means of cut estimates are biased.

    Raises:
        ValueError: fewer than two labels with weight, lengths that differ, or a weight that is negative or not finite.
    """
    v = np.ones(len(labels)) if weights is None else weights
    if not len(labels) == len(predictions) == len(v):
        raise ValueError(
            f"labels, predictions and weights differ in length: {len(labels)}, {len(predictions)}, {len(v)}"
        )
    if not np.isfinite(v).all() or (v < 0).any():
        raise ValueError("every weight must be finite and not negative")
    m = int((v > 0).sum())
    if m < 2:
        raise ValueError(f"at least two labels with weight are needed, found {m}")
    errors = np.asarray(labels, dtype=np.float64) - np.asarray(predictions, dtype=np.float64)  # [m]
    share = v / v.sum()
    shift = float(share @ errors)
    variance = m / (m - 1) * float((share**2 * (errors - shift) ** 2).sum())
    return judged_rate + shift, judged_variance + variance
