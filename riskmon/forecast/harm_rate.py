"""The mean probability of harm of one stratum, and how far off it may be.

In come the estimates p_i of m prompts sampled from N requests, with survey weights w_i; out goes

    p_bar = sum_i w_i p_i / sum_i w_i                                  (Hajek 1971)

with draws around it. Two things are uncertain: which prompts were sampled, and each p_i. In draws,

    p^b = p_bar + sqrt(1 - 1/m) (p_boot - p_bar) + sqrt(1/m) (p_within - p_bar),   cut to [0, 1]

p_boot resamples prompts together with their weights. What it resamples are estimates, not true probabilities, so
its spread already carries the within-prompt noise in full; adding p_within in full as well would count that noise
twice. A bootstrap of m prompts shows only (m - 1)/m of the variance; the within-prompt noise makes up that share,
which matters for a handful: a single prompt keeps its own error.

There is no finite-population correction, even where every request was sampled: the forecast is about tomorrow's
prompts, and those are new ones from where today's came from.

p_within redraws every p_i from a gamma of mean p_i and sd stderr_i. The weighted mean of those is drawn as one
gamma of the same mean and variance: one number per draw instead of m.

**Upper limits need what was not seen.** A bootstrap only reshuffles what it has: with no hits it says 0 +- 0, with
five it misses the truth one time in ten, with a few heavy prompts far more often. So, after Fay & Feuer 1997
(gamma limits for weighted sums of Poisson counts: one more event at the largest weight), upper limits use

    p^b + u G,   G ~ Exponential(1),   u = max( max_i w_i p_i / sum_i w_i ,  1 / sum_i n0_i  while hits < 10 )

that is one more prompt as heavy as the heaviest, or, while there are few hits, one more hit among the n0_i draws
of the target itself: a hit adds at most 1 / n0_i to its prompt, whichever proposal drew it. Without any hit this is
the exact 95% limit -log(0.05) / sum n0_i. It takes the prompts of a stratum for alike: harm in a few prompts that the
sample does not hold is bounded by no number of draws.

Simulated coverage of the upper limit, nominal 95% (lognormal p of log-sd 1, 200 draws per prompt):

    scenario                          bootstrap alone   with u G
    m = 300 of 20,000, 1,800 hits     0.92              0.97
    m = 300 of 20,000, 6 hits         0.90              0.98
    m = 300 of 20,000, mostly none    0.27              1.00
    m = 30 of 20,000, 170 hits        0.84              0.95
    m = 5 of 20,000, 27 hits          0.73              0.91

**Limits of this.** With log-sd 2 and 100 prompts the upper limit covers 0.87, with log-sd 3 and 1,000 prompts 0.79: no
rule knows a tail it has not met. And under importance sampling the upper limit can fall by orders of magnitude
between nine hits and ten, where one more hit of the target stops being allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray, WeightedEstimate

FEW_HITS = 10
"""Below this many hits, one more hit of the target stays thinkable."""

_CHUNK = 1_000_000  # resampled prompts held at once; bounds memory at about 30 MB


@dataclass(frozen=True, slots=True, eq=False)
class HarmSample:
    """Estimates of one harm for sampled prompts of one stratum.

    Attributes:
        p: [m] estimated probabilities.
        stderr: [m] their standard errors.
        weights: [m] requests each prompt stands for, positive.
        target_draws: draws of the target itself over all prompts. hits: harmful draws over all prompts.
    """

    p: FloatArray
    stderr: FloatArray
    weights: FloatArray
    target_draws: int
    hits: int

    @classmethod
    def of(cls, estimates: Sequence[WeightedEstimate]) -> HarmSample:
        """The sample behind weighted estimates of one harm and stratum.

        An unknown standard error is that of a certain zero where p is 0, and as large as p itself otherwise.
        """
        bare = [item.estimate for item in estimates]
        return cls(
            p=np.array([e.p for e in bare], dtype=np.float64),
            stderr=np.array([e.p if e.stderr is None else e.stderr for e in bare], dtype=np.float64),
            weights=np.array([item.weight for item in estimates], dtype=np.float64),
            target_draws=sum(e.target_draws for e in bare),
            hits=sum(e.hits for e in bare),
        )

    def __len__(self) -> int:
        return len(self.p)


@dataclass(frozen=True, slots=True, eq=False)
class HarmRate:
    """Mean probability of harm per request of one stratum.

    Attributes:
        mean: p_bar, unbiased.
        draws: [B] draws of it.
        unseen: u, [B] or scalar; upper limits use draws + unseen * Exponential(1).
    """

    mean: float
    draws: FloatArray
    unseen: FloatArray | float


def harm_rate(sample: HarmSample, *, draws: int, rng: np.random.Generator) -> HarmRate:
    """The rate of a stratum with at least one estimate, and B = `draws` draws of it."""
    m, total = len(sample), float(sample.weights.sum())
    share = sample.weights / total  # [m]
    mean = float(share @ sample.p)

    boot = _bootstrap(sample.p, share, draws, rng)
    within = _gamma(mean, float(((share * sample.stderr) ** 2).sum()), draws, rng)
    spread = mean + math.sqrt(1 - 1 / m) * (boot - mean) + math.sqrt(1 / m) * (within - mean)

    heaviest = float((share * sample.p).max())
    one_hit = 1 / max(sample.target_draws, 1) if sample.hits < FEW_HITS else 0.0
    return HarmRate(mean, np.clip(spread, 0.0, 1.0), max(heaviest, one_hit))


def borrowed_rate(
    rates: Sequence[HarmRate], shares: FloatArray, *, draws: int, rng: np.random.Generator
) -> HarmRate:
    """The rate of a stratum without estimates: in every draw it is like one of the others, picked by share.

    Args:
        rates: rates of the strata that have estimates, at least one, each with B = `draws` draws.
        shares: [len(rates)] traffic of these strata, positive.
        draws, rng: number of draws, source of chance.
    """
    chance = shares / shares.sum()
    pick = rng.choice(len(rates), size=draws, p=chance)  # [B]
    every = np.arange(draws)
    return HarmRate(
        mean=float(chance @ [rate.mean for rate in rates]),
        draws=np.stack([rate.draws for rate in rates])[pick, every],
        unseen=np.stack([np.broadcast_to(rate.unseen, draws) for rate in rates])[pick, every],
    )


def _bootstrap(p: FloatArray, share: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """[B] Hajek means over m prompts drawn with replacement, weights kept."""
    m = len(p)
    harm = share * p
    means = np.empty(draws)
    rows = max(1, _CHUNK // m)
    for start in range(0, draws, rows):
        stop = min(start + rows, draws)
        index = rng.integers(m, size=(stop - start, m))
        means[start:stop] = harm[index].sum(axis=1) / share[index].sum(axis=1)
    return means


def _gamma(mean: float, variance: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """[B] gamma draws of the given mean and variance; constant where either is 0."""
    if mean <= 0 or variance <= 0:
        return np.full(draws, mean)
    return rng.gamma(mean**2 / variance, variance / mean, size=draws)
