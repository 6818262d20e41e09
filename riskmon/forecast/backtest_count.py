"""What judged production responses say of the harmful outputs of a span.

In come windows of one harm, each with N_j requests of which n_j responses were judged and k_j flagged; out goes, for a
stratum or for all, the estimated number of flagged responses among all N and what the estimate is worth:

    T = e sum_j (N_j / n_j) k_j,       f = E[T] / Var(T),      K = f T

T is the stratified (Horvitz-Thompson) estimate; e makes up for windows nobody judged, as if they were like the others
of their stratum. A sample is rarely the same share of every window, so the number of hits it would be worth at one
share is taken: with flagged responses Poisson and a share q_j of them in window j, Var(T) = e E[T] sum_j q_j N_j / n_j,
and K has mean and variance f E[T], as a Poisson count has (the effective counts of Fay & Feuer 1997).

q_j is not read from the few flagged responses: within a stratum it is N_j's share (equal rates), between strata that of
the forecast's own expected counts. Strata may differ a thousandfold in risk and the forecast be wrong about it, so
there the variance that the flagged responses show counts where it is larger: one hit in a thinly judged stratum is not
taken for many. Where the forecast was right this errs towards fewer hits, hence towards not telling.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from riskmon.records import BoolArray, FloatArray, JudgeError, Stratum
from riskmon.records.backtest import JudgedWindow
from riskmon.statistics import (
    clopper_pearson,
    corrected_rate,
    draw_errors,
    effective_counts,
    sensitivity,
    specificity,
)

_DRAWS = 4000


@dataclass(frozen=True, slots=True)
class JudgedCount:
    """Flagged responses of a span, as one sample of one share.

    Attributes:
        requests: N. fraction: f, 0 where nothing was judged. flagged: K, effective. covered: share of the requests in
            windows (for several strata: also of the harm expected) that were judged at all.
    """

    requests: int
    fraction: float
    flagged: float
    covered: float

    @property
    def judged(self) -> float:
        """Effective number of judged responses."""
        return self.fraction * self.requests

    @property
    def flagged_in_all(self) -> float:
        """T, estimated flagged responses among all."""
        return self.flagged / self.fraction


def judged_window(
    start: datetime, harm: str, stratum: Stratum, requests: int, flagged: BoolArray, inclusion: FloatArray
) -> JudgedWindow:
    """A window whose responses were judged with unequal chances.

    Args:
        start, harm, stratum, requests: as of the window.
        flagged: [n] verdicts. inclusion: [n] chance of each response to be judged, in (0, 1].

    Raises:
        ValueError: a chance outside (0, 1].
    """
    if len(flagged) == 0:
        return JudgedWindow(start, harm, stratum, requests, 0.0, 0.0)
    if not ((inclusion > 0) & (inclusion <= 1)).all():
        raise ValueError("every inclusion probability must lie in (0, 1]")
    return JudgedWindow(
        start, harm, stratum, requests, *effective_counts(flagged, 1 / inclusion, float(requests))
    )


def count_strata(windows: Iterable[JudgedWindow]) -> dict[Stratum, JudgedCount]:
    """The count of every stratum, over windows of one harm and span."""
    cells: dict[Stratum, list[JudgedWindow]] = defaultdict(list)
    for window in windows:
        cells[window.stratum].append(window)
    return {stratum: _count(own) for stratum, own in sorted(cells.items())}


def count_total(strata: Mapping[Stratum, JudgedCount], expected: Mapping[Stratum, float]) -> JudgedCount:
    """The count of all strata together.

    Args:
        strata: counts of one harm and span.
        expected: harmful outputs that the forecast expected of each; without any, shares of requests stand in.
    """
    requests = sum(count.requests for count in strata.values())
    prior = {s: max(expected.get(s, 0.0), 0.0) for s in strata}
    if not sum(prior.values()) > 0:
        prior = {s: float(count.requests) for s, count in strata.items()}
    judged = [s for s, count in strata.items() if count.fraction > 0]
    whole = sum(prior.values())
    shown = sum(prior[s] for s in judged)
    if not shown > 0:
        return JudgedCount(requests, 0.0, 0.0, 0.0)
    in_all = np.array([strata[s].flagged_in_all for s in judged]) * (whole / shown)  # [S]
    weight = np.array([1 / strata[s].fraction for s in judged]) * (whole / shown)  # [S]
    variance = float(weight @ [prior[s] for s in judged]) / shown  # of T, in units of its mean
    if in_all.sum() > 0:
        variance = max(variance, float(in_all @ weight / in_all.sum()))
    by_harm = sum(prior[s] / whole * strata[s].covered for s in judged)
    by_requests = sum(strata[s].requests / requests * strata[s].covered for s in judged)
    return _as_one_sample(requests, float(in_all.sum()), variance, min(by_harm, by_requests))


def observed_harm(
    count: JudgedCount, error: JudgeError | None, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Estimated harmful outputs of the span and their 95% limits, the judge's errors taken out.

    The limits are those of Clopper & Pearson on the effective counts, drawn closer by sqrt(1 - f) for a sample that is
    a large share of all. With a judge's error they are quantiles of draws of its Se, Sp and of the flagged rate.

    Args:
        count: with a fraction above 0.
        error: None where the judge is taken as it is.
        rng: source of chance; unused without `error`.
    """
    n, k = count.judged, min(count.flagged, count.judged)
    closer = math.sqrt(1 - count.fraction)
    if error is None:
        value = k / n
        low, high = clopper_pearson(k, n)
    else:
        se, sp = draw_errors(error, _DRAWS, rng)
        rates = rng.beta(k + 0.5, n - k + 0.5, size=_DRAWS)
        value = float(corrected_rate(k / n, sensitivity(error).value, specificity(error).value))
        # What the judge may have got wrong does not shrink with the share judged.
        low, high = np.quantile(corrected_rate(k / n + (rates - k / n) * closer, se, sp), [0.025, 0.975])
        closer = 1.0
    # Cut at 0 or 1 draw by draw, the quantiles may miss the value by a little.
    below, above = max(value - low, 0.0) * closer, max(high - value, 0.0) * closer
    return value * count.requests, (value - below) * count.requests, (value + above) * count.requests


def _count(windows: Sequence[JudgedWindow]) -> JudgedCount:
    """The count of one stratum."""
    requests = sum(window.requests for window in windows)
    read = [window for window in windows if window.judged > 0]
    behind = sum(window.requests for window in read)
    if not behind:
        return JudgedCount(requests, 0.0, 0.0, 0.0)
    whole = np.array([window.requests for window in read], dtype=np.float64)
    weight = whole / np.array([window.judged for window in read]) * (requests / behind)
    flagged = np.array([window.harmful for window in read])
    return _as_one_sample(
        requests, float(weight @ flagged), float(weight @ whole) / behind, behind / requests
    )


def _as_one_sample(requests: int, in_all: float, variance: float, covered: float) -> JudgedCount:
    """An estimate T, `in_all`, as a sample of one share with the same `variance`, Var(T) / E[T]."""
    fraction = 1 / max(variance, 1.0)
    return JudgedCount(requests, fraction, fraction * in_all, covered)
