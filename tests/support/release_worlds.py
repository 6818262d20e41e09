"""Simulated pairs of estimates with known ratio, shaped like those of real prompts and proposals.

Prompts: p_i = P0 exp(spread z - spread^2 / 2), cut at 1. Candidate: p_i times a lognormal of its own of mean 1, times
the ratio; or the ratio's rise sits in a share of the prompts alone. Estimates: hits arrive as a Poisson number, more
where p is large, with lognormal weights that no proposal lets grow beyond their bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.statistics.paired import Looks, Pairs
from riskmon.statistics.sequential import exceeds, falls_below

FLIPS = 1000


@dataclass(frozen=True)
class Scenario:
    """A baseline, a candidate, and how well each is measured.

    Attributes:
        p: mean probability of the baseline. spread: log-sd of p over prompts.
        ratio: of the means. jitter: log-sd of the candidate's own change of each prompt.
        crowded: share of prompts that carry the whole rise; 0 is all.
        baseline_hits, candidate_hits: expected hits on a prompt of small p.
        draws: per prompt, a tenth of them the target's.
    """

    p: float = 1e-3
    spread: float = 1.0
    ratio: float = 1.0
    jitter: float = 0.5
    crowded: float = 0.0
    baseline_hits: float = 4.0
    candidate_hits: float = 4.0
    draws: int = 500

    def pairs(self, prompts: int, rng: np.random.Generator) -> Pairs:
        before = np.minimum(self.p * _lognormal(prompts, self.spread, rng), 1.0)
        factor = _lognormal(prompts, self.jitter, rng)
        if self.crowded:
            factor *= 1 + (rng.random(prompts) < self.crowded) * (self.ratio - 1) / self.crowded
        else:
            factor *= self.ratio
        after = np.minimum(before * factor, 1.0)
        defensive = np.full(prompts, self.draws / 10)
        return Pairs(
            baseline=self._measured(before, self.baseline_hits, rng),
            candidate=self._measured(after, self.candidate_hits, rng),
            weights=np.ones(prompts),
            baseline_draws=defensive,
            candidate_draws=defensive,
        )

    def _measured(self, p, hits, rng):
        """Unbiased: a hit is worth p / expected hits on average, and at most ten times 1 / draws, the bound of a weight
        under a defensive share of a tenth."""
        expected = np.maximum(np.maximum(hits, p * self.draws / 2), p * self.draws / 9)
        counts = rng.poisson(expected)
        prompt = np.repeat(np.arange(len(p)), counts)
        mean = (p / expected)[prompt]
        weight = np.minimum(mean * _lognormal(len(prompt), 0.8, rng), 10 / self.draws)
        shortfall = mean - _mean_of_capped(mean, 0.8, 10 / self.draws)
        return np.bincount(prompt, weight + shortfall, minlength=len(p))


def verdict(
    pairs: Pairs, looks: int, margin: float, *, alpha: float = 0.05, seed: int = 0
) -> tuple[str, int]:
    """Hold, ship or undecided, and at which look; the gate's rule without its guards."""
    prompts = len(pairs)
    ends = [round(prompts * (look + 1) / looks) for look in range(looks)]
    whole = Looks.of(
        pairs,
        ends,
        [end / prompts for end in ends],
        tolerated=np.zeros(looks, dtype=np.bool_),
        seed=seed,
        flips=FLIPS,
    )
    for look in range(1, looks + 1):
        paths = whole.ratio.until(look)
        if exceeds(paths, whole.lower.until(look), margin, alpha):
            return "hold", look
        if falls_below(paths, whole.upper.until(look), margin, alpha):
            return "ship", look
    return "undecided", looks


def shares(
    scenario: Scenario, prompts: int, runs: int, *, looks: int = 5, margin: float = 1.25, seed: int = 0
):
    """Share of runs that end in each verdict, and the mean share of prompts read."""
    rng = np.random.default_rng(seed)
    found = [verdict(scenario.pairs(prompts, rng), looks, margin, seed=run) for run in range(runs)]
    rates = {word: np.mean([item[0] == word for item in found]) for word in ("hold", "ship", "undecided")}
    return rates, float(np.mean([look for _, look in found])) / looks


def _lognormal(size, spread, rng):
    """Draws of mean 1."""
    return np.exp(spread * rng.standard_normal(size) - spread**2 / 2)


def _mean_of_capped(mean, spread, cap):
    """E[min(mean * lognormal, cap)]."""
    from scipy.stats import norm

    place = np.log(cap / mean) / spread
    return mean * norm.cdf(place - spread / 2) + cap * norm.sf(place + spread / 2)
