"""Harm that no proposal but the target itself reaches: its limits, and what days before the lookback say of it.

In come counts over many prompts, g uncovered hits among M draws of the target. A draw of the target is an uncovered
hit with exactly the probability of uncovered harm, so g / M is an unbiased estimate of its mean, draw by draw, and
limits of a share are limits of it.

**Limits** are those of Clopper & Pearson 1934. The draws come from many prompts, each with a probability of its own.
The number of hits is then Poisson-binomial, which spreads less around its mean than a binomial, and the limits are
conservative (Hoeffding 1956). What they bound is the mean over the draws that were made: prompts that were drawn from
more often count more, and a single prompt may be far worse.

**Earlier days.** The forecast's own estimates, those of the lookback (g_0 hits in M_0 draws), carry the uncovered hits
among their draws without bias. Draws of earlier days (g_1 in M_1) tell of the same harm, if those days were like
today. Pooled,

    (g_0 + g_1) / M  =  g_0 / M_0  +  ( g_1 / M  -  (M_1 / M) g_0 / M_0 ),        M = M_0 + M_1

so what earlier days add is the bracket. Upper limits use its positive part, with g_1 / M drawn from Gamma(g_1, 1 / M):

    E^b = max(0, Gamma(g_1, 1/M) - (M_1 / M) g_0 / M_0)

The positive part, since a quiet week is no reason to doubt what was seen today. E is 0 without earlier hits. An
uncovered hit of an earlier day counts as long as the store holds it, even if a variant covers that harm by now and
the lookback's estimates hold it already: until then an upper limit may be too high by up to that much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray
from riskmon.records.coverage import CoverageCount


@dataclass(frozen=True, slots=True)
class EarlierDraws:
    """Draws of the target for one harm and stratum before the lookback.

    Attributes:
        target_draws: M_1. gap_hits: g_1, uncovered hits among them.
    """

    target_draws: int = 0
    gap_hits: int = 0

    @classmethod
    def beyond(cls, count: CoverageCount | None, target_draws: int, gap_hits: int) -> EarlierDraws:
        """What a count over all days holds beyond the lookback's own draws and hits; nothing without a count.

        A count that holds less than the lookback, since it was taken a moment earlier, says nothing of earlier days.
        """
        if count is None:
            return cls()
        return cls(max(0, count.target_draws - target_draws), max(0, count.gap_hits - gap_hits))

    def excess(self, target_draws: int, gap_hits: int, *, draws: int, rng: np.random.Generator) -> FloatArray:
        """E^b, [B] with B = `draws`: uncovered harm that earlier days showed beyond the lookback.

        Args:
            target_draws: M_0, of the lookback. gap_hits: g_0, uncovered hits among them.
            draws, rng: number of draws, source of chance.
        """
        if self.gap_hits == 0:
            return np.zeros(draws)
        pooled = self.target_draws + target_draws
        shown = self.target_draws / pooled * gap_hits / max(target_draws, 1)
        excess: FloatArray = np.maximum(0.0, rng.gamma(self.gap_hits, 1 / pooled, size=draws) - shown)
        return excess
