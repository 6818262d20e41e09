"""Risk of a simulated deployment: how p(x) varies over prompts, how it moves, and how well it is estimated.

A `Risk` is a distribution of p over prompts, cut at 1, whose mean is known in closed form for every scale, so that the
true number of harmful outputs needs no simulation of single prompts: every request is a new prompt, and the count of an
hour is Poisson with mean N E[p].

**Estimates.** n draws a prompt, n_0 of them of the target itself. Covered harm c is hit k ~ Poisson(h) times by the
proposals, with weights of mean 1 and relative variance `WEIGHT_SPREAD`; missed harm m is met by the target's own draws
alone, g ~ Binomial(n_0, m) times, each a draw at the cap of its weight:

    p_hat  = c/h sum_(i <= k) w_i + g / n_0                   unbiased for c + m
    stderr = sqrt( (c/h)^2 k (1 + WEIGHT_SPREAD) + g / n_0^2 )

h is at least what n draws of the target itself would make, n c / (1 - c). A judge with errors sees
Se c + (1 - Sp)(1 - p) in place of c, and Se m in place of m.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import ndtr

from riskmon.bench.deployment_traffic import steps
from riskmon.records import FloatArray, IntArray

WEIGHT_SPREAD = 0.5
"""Relative variance of the importance weight of one hit."""


class Risk(Protocol):
    """A distribution of p over prompts."""

    def draw(self, size: int, scale: FloatArray, rng: np.random.Generator) -> FloatArray:
        """[size] values of min(scale * p, 1), `scale` [size]."""

    def mean(self, scale: FloatArray) -> FloatArray:
        """E[min(scale * p, 1)], element by element."""


@dataclass(frozen=True, slots=True)
class Points:
    """Point masses: probability p[i] with share shares[i]; shares sum to 1."""

    p: tuple[float, ...]
    shares: tuple[float, ...]

    def draw(self, size: int, scale: FloatArray, rng: np.random.Generator) -> FloatArray:
        """[size] values."""
        values: FloatArray = np.minimum(scale * rng.choice(self.p, size=size, p=self.shares), 1.0)
        return values

    def mean(self, scale: FloatArray) -> FloatArray:
        """E[min(scale * p, 1)]."""
        mean: FloatArray = np.minimum(np.multiply.outer(scale, self.p), 1.0) @ np.array(self.shares)
        return mean


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Lognormal of the given mean, before the cut at 1, and sd of log p."""

    average: float
    log_sd: float

    def draw(self, size: int, scale: FloatArray, rng: np.random.Generator) -> FloatArray:
        """[size] values."""
        centre = np.log(self.average) - self.log_sd**2 / 2
        return np.minimum(scale * rng.lognormal(centre, self.log_sd, size=size), 1.0)

    def mean(self, scale: FloatArray) -> FloatArray:
        """E[min(scale * p, 1)]."""
        average = scale * self.average
        centre, sd = np.log(average) - self.log_sd**2 / 2, self.log_sd
        mean: FloatArray = average * ndtr(-centre / sd - sd) + ndtr(centre / sd)
        return mean


@dataclass(frozen=True, slots=True)
class Pareto:
    """Power law: P(p > x) = (least / x)^tail, tail above 0 and not 1."""

    least: float
    tail: float

    def draw(self, size: int, scale: FloatArray, rng: np.random.Generator) -> FloatArray:
        """[size] values."""
        return np.minimum(scale * self.least * (1 + rng.pareto(self.tail, size=size)), 1.0)

    def mean(self, scale: FloatArray) -> FloatArray:
        """E[min(scale * p, 1)], for scale * least below 1."""
        least = scale * self.least
        mean: FloatArray = (self.tail * least - least**self.tail) / (self.tail - 1)
        return mean


NOTHING = Points((0.0,), (1.0,))


@dataclass(frozen=True, slots=True)
class Harm:
    """The harm of a stratum: what proposals cover, what they miss, and how both move.

    Attributes:
        covered, missed: distributions; a prompt's p is the sum of one draw of each.
        drift: growth of p per day, logarithmic. steps: (day, factor) from which day on p is multiplied.
    """

    covered: Risk
    missed: Risk = field(default=NOTHING)
    drift: float = 0.0
    steps: tuple[tuple[float, float], ...] = ()

    def scale(self, day: FloatArray) -> FloatArray:
        """[H] factor on p at times in days."""
        scale: FloatArray = np.exp(self.drift * day) * steps(self.steps, day)
        return scale

    def mean(self, day: FloatArray) -> FloatArray:
        """[H] true mean of p."""
        scale = self.scale(day)
        return self.covered.mean(scale) + self.missed.mean(scale)


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge with errors, and how many labelled answers they were measured on."""

    sensitivity: float = 1.0
    specificity: float = 1.0
    labelled_harmful: int = 0
    labelled_harmless: int = 0


@dataclass(frozen=True, slots=True)
class Sampler:
    """How prompts are sampled and estimated.

    Attributes:
        prompts_per_window: prompts estimated of every hour and stratum.
        draws: n. target_draws: n_0. hits: h, expected hits of the proposals on covered harm.
    """

    prompts_per_window: int = 12
    draws: int = 500
    target_draws: int = 50
    hits: float = 8.0


@dataclass(frozen=True, slots=True, eq=False)
class Estimated:
    """Estimates of m prompts: [m] each. `true` is p without judge's error; `hits` covered ones, `gap` missed ones."""

    true: FloatArray
    p: FloatArray
    stderr: FloatArray
    hits: IntArray
    gap: IntArray


def estimate(
    covered: FloatArray, missed: FloatArray, judge: Judge, sampler: Sampler, rng: np.random.Generator
) -> Estimated:
    """Estimates of prompts with covered and missed harm, [m] each."""
    true = np.minimum(covered + missed, 1.0)
    c = judge.sensitivity * covered + (1 - judge.specificity) * (1 - true)
    expected = np.maximum(sampler.hits, sampler.draws * c / np.maximum(1 - c, 1e-6))  # h, [m]
    hits = rng.poisson(expected)
    weights = rng.gamma(np.maximum(hits, 1) / WEIGHT_SPREAD, WEIGHT_SPREAD) * (hits > 0)
    gap = rng.binomial(sampler.target_draws, np.minimum(judge.sensitivity * missed, 1.0))
    per_hit = c / expected
    return Estimated(
        true=true,
        p=per_hit * weights + gap / sampler.target_draws,
        stderr=np.sqrt(per_hit**2 * hits * (1 + WEIGHT_SPREAD) + gap / sampler.target_draws**2),
        hits=np.minimum(hits, sampler.draws) * (c > 0),
        gap=gap,
    )
