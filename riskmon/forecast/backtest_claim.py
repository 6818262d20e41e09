"""What a stored forecast claims of the count, as distributions a sample can be held against.

A `Forecast` keeps few figures: the expected count, a lower limit (5% quantile of Poisson(V p), what was seen), an upper
limit (95% quantile of Poisson(V c), what was not seen included) and P(at least one) under the latter. So it makes two
claims, one a side, and each is restored on its own as a Poisson whose mean L is gamma: a negative binomial,

    lower side   E[L] = expected,             5% quantile of the count = lower
    upper side   P(count = 0) = 1 - any,     95% quantile of the count = upper

Without any hit the upper side is exactly what the forecast drew, a gamma of shape 1 (the rule of succession). Where
P(count = 0) is too small to say anything, the upper side's second fact is its 5% quantile, taken as `lower`. Where
`lower` is 0, it says only P(count = 0) >= 0.05; the lower side is then the widest with `upper` as its 95% quantile.

**Held against a sample.** Let a judge read a share f of the span's N responses, with sensitivity Se and specificity Sp.
A Poisson thinned stays one, so the flagged ones among them are

    K ~ Poisson( f ((Se + Sp - 1) L + (1 - Sp) N) )

mixed over L, and over draws of Se and Sp where the judge's error is known. P(K <= k) under the lower side and
P(K >= k) under the upper one say whether k is too small or too large for the forecast. Both count k itself, so that
with few flagged responses an interval fails less often than its level, never more often: k = 0 fails no forecast
unless the sample was large enough to expect several. Se and Sp are drawn anew and not as the forecast drew
them, which widens both sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import betainc, betaincinv, gammainc, gammaincc, gammaincinv

from riskmon.records import FloatArray, Forecast

NODES = 512
"""Quantiles of L that stand for its distribution."""

TAIL = 0.05
"""Either tail of a forecast's interval."""

_SHAPES = np.geomspace(0.3, 1e6, 90)
_RARE = 1e-3
_LEAST_NONE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How a judged sample sees the responses of a span.

    Attributes:
        fraction: f. requests: N.
        gain: [NODES] or scalar, Se + Sp - 1. alarms: [NODES] or scalar, 1 - Sp; 0 for a judge without error.
    """

    fraction: float
    requests: float
    gain: FloatArray | float = 1.0
    alarms: FloatArray | float = 0.0

    def flagged(self, harmful: FloatArray | float) -> FloatArray:
        """Expected flagged responses of the sample, where `harmful` are expected in all."""
        return np.asarray(self.fraction * (self.gain * harmful + self.alarms * self.requests))


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """Both sides of a forecast.

    Attributes:
        seen: [NODES] equally likely values of the mean count, as its lower limit means it.
        possible: [NODES] as its upper limit means it.
        upper: the upper limit.
    """

    seen: FloatArray
    possible: FloatArray
    upper: float

    @classmethod
    def of(cls, forecast: Forecast) -> Claim:
        """The claim of a stored forecast."""
        return cls(
            seen=_nodes(forecast.expected, _seen_shape(forecast)),
            possible=_nodes(*_possible(forecast)),
            upper=forecast.upper,
        )

    def chance_of_fewer(self, flagged: float, reading: Reading) -> float:
        """P(K <= flagged), were the lower side true."""
        return float(np.mean(gammaincc(flagged + 1, reading.flagged(self.seen))))

    def chance_of_more(self, flagged: float, reading: Reading) -> float:
        """P(K >= flagged), were the upper side true."""
        if flagged <= 0:
            return 1.0
        return float(np.mean(gammainc(flagged, reading.flagged(self.possible))))

    def would_notice(self, factor: float, reading: Reading) -> bool:
        """Whether, with `factor` times the upper limit (of at least one), the odds were even to find it broken.

        It depends on the size of the sample and not on what it showed, so leaving out the samples that would not
        notice biases no share of the others.
        """
        # The median of a Poisson lies about a third above its mean.
        typical = np.floor(float(np.mean(reading.flagged(factor * max(self.upper, 1.0)))) + 0.31)
        return self.chance_of_more(float(typical), reading) < TAIL

    def judged_to_notice(self, factor: float, reading: Reading) -> int | None:
        """The least number of responses from which on `would_notice` holds, to two percent; None where not even all do.

        Counts of flagged responses are whole, so the odds rise in teeth: a smaller number may do by luck.
        """

        def noticed(fraction: float) -> bool:
            return self.would_notice(factor, replace(reading, fraction=fraction))

        if not noticed(1.0):
            return None
        least = 1.0
        while noticed(least / 2) and least * reading.requests > 1:
            least /= 2
        # The last tooth lies within a factor of three above the first number that does.
        for fraction in np.geomspace(min(3 * least, 1.0), least / 2, 120).tolist():
            if not noticed(fraction):
                break
            least = fraction
        return math.ceil(least * reading.requests)


def _nodes(mean: float, shape: float) -> FloatArray:
    """[NODES] quantiles of a gamma at the middles of equal shares."""
    if mean <= 0:
        return np.zeros(NODES)
    nodes: FloatArray = gammaincinv(shape, (np.arange(NODES) + 0.5) / NODES) * (mean / shape)
    return nodes


def _at_most(count: float, mean: FloatArray | float, shape: FloatArray | float) -> FloatArray:
    """P(count or fewer) of negative binomials; between whole numbers it is continued smoothly."""
    chance: FloatArray = betainc(shape, count + 1, shape / (shape + mean))
    return chance


def _seen_shape(forecast: Forecast) -> float:
    if forecast.expected <= 0:
        return 1.0
    if forecast.lower >= 1:
        miss = _at_most(forecast.lower - 0.5, forecast.expected, _SHAPES) - TAIL
        return float(_SHAPES[np.argmin(np.abs(miss))])
    widest = _SHAPES[-1]
    if forecast.upper > forecast.expected:
        miss = _at_most(forecast.upper - 0.5, forecast.expected, _SHAPES) - (1 - TAIL)
        widest = _SHAPES[np.argmin(np.abs(miss))]
    allowed = _SHAPES[_at_most(0.0, forecast.expected, _SHAPES) >= TAIL]
    return float(min(widest, allowed.max(initial=_SHAPES[0])))


def _possible(forecast: Forecast) -> tuple[float, float]:
    """Mean and shape of the upper side."""
    none = max(1 - forecast.any_probability, _LEAST_NONE)
    if forecast.upper < 1:
        return 1 / none - 1, 1.0
    edge = forecast.upper - 0.5
    if none < _RARE and forecast.lower >= 1:
        means = _means_with_upper(edge)
        miss = _at_most(forecast.lower - 0.5, means, _SHAPES) - TAIL
    else:
        means = _SHAPES * np.expm1(-np.log(none) / _SHAPES)
        miss = _at_most(edge, means, _SHAPES) - (1 - TAIL)
    best = int(np.argmin(np.abs(miss)))
    return float(means[best]), float(_SHAPES[best])


def _means_with_upper(edge: float) -> FloatArray:
    """For every shape, the mean at which `edge` is the 95% quantile: `_at_most` solved for it."""
    share = betaincinv(edge + 1, _SHAPES, TAIL)  # mean / (shape + mean)
    means: FloatArray = _SHAPES * share / (1 - share)
    return means
