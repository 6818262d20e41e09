"""What is said of a count whose mean is uncertain: intervals, P(at least one), P(over budget).

In come [B] draws of the mean twice: as it was estimated, and cautiously, with harm that no draw has shown
(`harm_rate`). Lower limits come from the first, upper limits and probabilities from the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

import numpy as np
from scipy.special import pdtrc

from riskmon.records import FloatArray


@dataclass(frozen=True, slots=True)
class CountLimits:
    """Limits of a count; fields as those of `Forecast`."""

    lower: float
    upper: float
    lower_50: float
    upper_50: float
    lower_99: float
    upper_99: float
    any_probability: float
    over_budget_probability: float | None
    unseen_share: float | None


def count_limits(
    plain: FloatArray, cautious: FloatArray, budget: float | None, rng: np.random.Generator
) -> CountLimits:
    """Limits from [B] draws of the mean.

    Args:
        plain, cautious: draws as estimated, and with what was not seen.
        budget: P(count > budget) is wanted; None where there is no budget.
        rng: source of chance.
    """
    drawn, high = (rng.poisson(mean).astype(np.float64) for mean in (plain, cautious))
    lower_99, lower, lower_50 = _quantiles(drawn, (0.005, 0.05, 0.25))
    upper_50, upper, upper_99 = _quantiles(high, (0.75, 0.95, 0.995))
    (seen,) = _quantiles(drawn, (0.95,))
    return CountLimits(
        lower=lower,
        upper=upper,
        lower_50=lower_50,
        upper_50=max(lower_50, upper_50),
        lower_99=lower_99,
        upper_99=upper_99,
        any_probability=float(-np.expm1(-cautious).mean()),
        over_budget_probability=None if budget is None else float(pdtrc(floor(budget), cautious).mean()),
        unseen_share=max(0.0, 1 - seen / upper) if upper > 0 else None,
    )


def _quantiles(counts: FloatArray, levels: tuple[float, ...]) -> list[float]:
    return [float(value) for value in np.quantile(counts, levels, method="inverted_cdf")]
