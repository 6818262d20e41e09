"""Two models on the same prompts: ratio and difference of their mean probabilities of harm, at every look.

In come unbiased estimates a_i (baseline) and b_i (candidate) of the same prompts, with weights v_i; out come

    R = sum_i v_i b_i / sum_i v_i a_i,        Delta = sum_i v_i (b_i - a_i) / sum_i v_i

with limits about the traffic that the prompts were sampled from. Pairs carry both noises, that between prompts and that
within each estimate, so no standard error is needed, and a pair without a hit is a pair like others. `sequential` makes
the limits; this module says how large one unseen event may be, with n0_i the draws of the target itself:

    limit                        u
    lower limit of R             max_i v_i a_i, and where those carry fewer than 20 effective pairs, max_i v_i / n0_i
    upper limit of R             2 max_i v_i b_i, and max_i v_i / n0_i unless that is tolerated

A hit of the target's own draws that no other proposal covers adds 1 / n0_i to its prompt's estimate, and no draw adds
more: max_i v_i / n0_i is the largest event there can be. So an upper limit knows that the candidate may harm where no
proposal of it looks, and an estimate that is small because its proposals miss cannot pass for small. The factor 2 is
that of the working interval of one prompt (one more event, twice as heavy as the heaviest seen): with it a candidate
whose harm sits in few prompts, or is hit rarely, is passed falsely no more often than stated. A false lower limit is
the lesser fault, and where nothing has changed flips alone are exact; it needs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.records import BoolArray, FloatArray
from riskmon.statistics.sequential import FLIPS, Paths, Unseen, lower_limit, sign_sums, upper_limit

FEW_PAIRS = 20.0
"""With fewer effective pairs the heaviest event seen says little of those that were not."""

_HEAVIER = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Estimates of one harm by both models, in the random order in which the prompts were read.

    Attributes:
        baseline, candidate: [n] float64, a and b.
        weights: [n] float64, v, positive.
        baseline_draws, candidate_draws: [n] float64, n0 of each, at least 1.
    """

    baseline: FloatArray
    candidate: FloatArray
    weights: FloatArray
    baseline_draws: FloatArray
    candidate_draws: FloatArray

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True, slots=True)
class PairedChange:
    """What the last look says.

    Attributes:
        ratio: R; None where the baseline shows no harm.
        ratio_low, ratio_high: limits; infinity where there is none.
        difference, difference_low, difference_high: Delta and its limits.
        baseline, candidate: weighted mean estimates.
    """

    ratio: float | None
    ratio_low: float
    ratio_high: float
    difference: float
    difference_low: float
    difference_high: float
    baseline: float
    candidate: float


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Paths and unseen events of a comparison.

    Attributes:
        ratio, difference: sums for R and Delta.
        lower, upper: unseen events of R. rise, fall: of Delta, upwards and downwards.
    """

    ratio: Paths
    difference: Paths
    lower: Unseen
    upper: Unseen
    rise: Unseen
    fall: Unseen

    @classmethod
    def of(
        cls,
        pairs: Pairs,
        ends: Sequence[int],
        shares: Sequence[float],
        *,
        tolerated: BoolArray,
        seed: int,
        flips: int = FLIPS,
    ) -> Looks:
        """Read pairs at K looks.

        Args:
            ends: [K] pairs up to and with each look, positive. shares: [K] share of what was planned.
            tolerated: [K] whether harm of the candidate that no proposal covers is known to be small enough by then.
            seed: root of the signs. flips: number of paths.

        Raises:
            ValueError: looks are out of order, or the first has no pairs.
        """
        if not ends or ends[0] < 1:
            raise ValueError("every look needs pairs")
        v = pairs.weights
        a, b = v * pairs.baseline, v * pairs.candidate
        nothing = np.zeros(len(ends))
        last = np.array(ends) - 1
        of_baseline = np.maximum.accumulate(a)[last]
        largest = np.maximum.accumulate(v / pairs.baseline_draws)[last]
        few = np.array([effective_pairs(a[:end]) < FEW_PAIRS for end in ends])
        of_baseline = np.where(few, np.maximum(of_baseline, largest), of_baseline)
        of_candidate = _HEAVIER * np.maximum.accumulate(b)[last]
        largest = np.maximum.accumulate(v / pairs.candidate_draws)[last]
        of_candidate = np.where(tolerated, of_candidate, np.maximum(of_candidate, largest))
        signed = sign_sums(np.stack([a, b, v], axis=1), ends, seed=seed, flips=flips)
        return cls(
            ratio=signed.paths((0, 1, 0), (1, 0, 0), shares),
            difference=signed.paths((-1, 1, 0), (0, 0, 1), shares),
            lower=Unseen(nothing, of_baseline),
            upper=Unseen(of_candidate, nothing),
            rise=Unseen(of_candidate, nothing),
            fall=Unseen(of_baseline, nothing),
        )

    def change(self, alpha_low: float, alpha_high: float) -> PairedChange:
        """The limits at the last look.

        Args:
            alpha_low, alpha_high: probability, over all looks, that a lower and an upper limit is wrong.
        """
        weight = float(self.difference.x[-1])
        baseline, candidate = float(self.ratio.x[-1]), float(self.ratio.y[-1])
        return PairedChange(
            ratio=candidate / baseline if baseline > 0 else None,
            ratio_low=lower_limit(self.ratio, self.lower, alpha_low, floor=0.0),
            ratio_high=upper_limit(self.ratio, self.upper, alpha_high, floor=0.0),
            difference=float(self.difference.y[-1]) / weight,
            difference_low=lower_limit(self.difference, self.fall, alpha_low, floor=-1.0),
            difference_high=min(1.0, upper_limit(self.difference, self.rise, alpha_high, floor=-1.0)),
            baseline=baseline / weight,
            candidate=candidate / weight,
        )


def effective_pairs(values: FloatArray) -> float:
    """How many equal values carry as much: (sum)^2 / sum of squares; 0 where all are 0."""
    squares = float((values**2).sum())
    return float(values.sum()) ** 2 / squares if squares > 0 else 0.0
