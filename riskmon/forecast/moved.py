"""Whether p moved within the lookback, and since when its estimates speak of tomorrow.

A forecast takes tomorrow to be like the lookback. Where p stepped up or down half a day ago, the mean over the lookback
lies between the old p and the new one and is wrong on both sides of the step. So for every harm and stratum each window
of the last day is tried as the moment of a step: estimates since then against those of the same hours a day before, so
that a daily rhythm of p is no move. Only windows that have estimates on both days count. p moved where both hold:

    ranks   Mann-Whitney, two-sided, below 1e-4: most prompts, not a few heavy ones, are riskier or safer than before
    means   the weighted means differ by two standard errors or more, in the direction of the ranks

Where prompts are sampled by risk, riskier ones are among the estimates more often since a scorer was switched on or
trained anew, and their ranks with them. So a rank is then that in the traffic, by weight: theta = sum_i s_i F(p_i)
with F the weighted share of the other side below p_i (ties half), held against 1/2 with the linearised variance of
both sides, or that of uniform ranks where it is larger. A side must be worth twenty equally weighted prompts (Kish
1965).

Ranks alone do not do: proposals that have learnt since yesterday spread the estimates of the same p differently. Means
alone do not do, for one heavy prompt makes them. The moment of the smallest p-value is taken, and estimates before it
are left out: they count no more than those before the lookback, and the draws of the target behind them as those of
earlier days. Without estimates of the day before nothing is known to have moved.

A threefold step shows after some 35 prompts on each side where p is lognormal with a log-sd of 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from scipy.stats import mannwhitneyu, norm

from riskmon.forecast.hajek import hajek_variance
from riskmon.records import FloatArray, Stratum, WeightedEstimate

DAY = timedelta(days=1)
_P_VALUE = 1e-4
_STANDARD_ERRORS = 2.0
_FEWEST = 20

Moves = Mapping[str, Mapping[Stratum, datetime]]
"""Per harm, the strata whose p moved, and the start of the first window after the move."""


def moves(estimates: Iterable[WeightedEstimate], now: datetime) -> dict[str, dict[Stratum, datetime]]:
    """Where and when p moved within the 24 hours before `now`.

    Args:
        estimates: of the last 48 hours; older ones are not looked at.
        now: aware UTC time.
    """
    cells: dict[tuple[str, Stratum], list[WeightedEstimate]] = defaultdict(list)
    for item in estimates:
        if item.weight > 0 and item.cell[0] >= now - 2 * DAY:
            cells[item.estimate.harm, item.estimate.stratum].append(item)
    found: dict[str, dict[Stratum, datetime]] = defaultdict(dict)
    for (harm, stratum), items in cells.items():
        moment = _move(items, now)
        if moment is not None:
            found[harm][stratum] = moment
    return dict(found)


def after_moves(estimates: Iterable[WeightedEstimate], moved: Moves) -> list[WeightedEstimate]:
    """The estimates without those of a stratum before its p moved."""
    return [
        item
        for item in estimates
        if item.cell[0] >= moved.get(item.estimate.harm, {}).get(item.estimate.stratum, item.cell[0])
    ]


def _move(items: Sequence[WeightedEstimate], now: datetime) -> datetime | None:
    """The most likely moment of a step, None where there is none."""
    before = np.array([item.cell[0] < now - DAY for item in items])
    # Each window of the day before stands at the same hour of the last one.
    hours = [item.cell[0] + DAY if old else item.cell[0] for item, old in zip(items, before, strict=True)]
    both = {hour for hour, old in zip(hours, before, strict=True) if old}
    both &= {hour for hour, old in zip(hours, before, strict=True) if not old}
    hour = np.array([hour.timestamp() if hour in both else -np.inf for hour in hours])
    p = np.array([item.estimate.p for item in items])
    weight = np.array([item.weight for item in items], dtype=np.float64)
    by_risk = not all(item.calibrated for item in items)
    best, smallest = None, _P_VALUE
    for moment in sorted(both):
        since = hour >= moment.timestamp()
        new, old = since & ~before, since & before
        if min(_worth(weight[side]) if by_risk else side.sum() for side in (new, old)) < _FEWEST:
            break
        p_value = _differs(p[new], weight[new], p[old], weight[old], by_risk)
        if p_value < smallest:
            best, smallest = moment, p_value
    return best


def _differs(
    new: FloatArray, new_weight: FloatArray, old: FloatArray, old_weight: FloatArray, by_risk: bool
) -> float:
    """P-value of the ranks; 1 where the means do not bear it out."""
    new_share, old_share = new_weight / new_weight.sum(), old_weight / old_weight.sum()
    gap = float(new_share @ new - old_share @ old)
    spread = np.sqrt(hajek_variance(new, new_share) + hajek_variance(old, old_share))
    if abs(gap) < _STANDARD_ERRORS * spread or gap == 0:
        return 1.0
    if not by_risk:
        side = "greater" if gap > 0 else "less"
        return 2 * float(mannwhitneyu(new, old, alternative=side, method="asymptotic").pvalue)
    above, below = _below(old, old_share, new), _below(new, new_share, old)
    linearised = hajek_variance(above, new_share) + hajek_variance(below, old_share)
    if_alike = float((new_share**2).sum() + (old_share**2).sum()) / 12
    excess = (float(new_share @ above) - 0.5) * np.sign(gap)
    return 2 * float(norm.sf(excess / np.sqrt(max(linearised, if_alike))))


def _below(values: FloatArray, share: FloatArray, at: FloatArray) -> FloatArray:
    """[n] share of the weighted values below each of `at`; equal ones count half."""
    order = np.argsort(values)
    upto = np.concatenate([[0.0], np.cumsum(share[order])])
    left, right = (np.searchsorted(values[order], at, side=side) for side in ("left", "right"))
    shares: FloatArray = (upto[left] + upto[right]) / 2
    return shares


def _worth(weight: FloatArray) -> float:
    """How many equally weighted prompts tell as much."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0
