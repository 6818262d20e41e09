"""What no draw has shown: one more event than were seen, as heavy as the sample makes it credible.

After Fay & Feuer 1997 (gamma limits for weighted sums of Poisson counts: one more event at the largest weight) upper
limits of a mean probability add

    U = max( h (e^(xi G) - 1) / xi ,  G / M ),      G ~ Exponential(1)

that is one more prompt like the heaviest, h = max_i w_i p_i / sum_i w_i, or one more hit among the M draws of the
target itself. M counts those behind the estimates, sum_i n0_i, and those of earlier days. How often the proposals hit
does not enter: that is no evidence of what they miss.

Fay & Feuer's own event is h G, the limit of xi = 0. How much heavier than the heaviest the next prompt may be is for
the tail of the w_i p_i to say: the event is generalised Pareto, its shape xi fitted to the largest of them
(`riskmon.statistics.tail_index`) and kept within 0 and 1. A few prompts a thousandfold riskier than the rest look like
a tail of shape 1 and pay for it with a wider limit: nothing in the sample tells the two apart. Fewer than 25 positive
estimates show no tail, xi = 0. Uncovered hits are left out of the fit: single hits of 1 / n0 among far smaller p look
like a tail and are none. And no prompt is harmful with a probability above 1: where h G stays below the share of
one prompt, so does the event.

Simulated: 95% upper limits of the mean with xi = 0 and with this rule, coverage and median ratio of the limit to the
truth; 8 hits a prompt, 1,000 worlds a row (`python tests/benchmarks/bench_upper_limit.py`).

    scenario                                bootstrap alone   shape 0          this rule
    all alike, 100 prompts                  0.94  1.1        0.98  1.1        0.99  1.1
    all alike, 288 prompts                  0.95  1          0.98  1.1        0.98  1.1
    all alike, 1000 prompts                 0.95  1          0.97  1          0.97  1
    lognormal 1, 100 prompts                0.88  1.2        0.96  1.3        0.97  1.5
    lognormal 1, 288 prompts                0.90  1.1        0.95  1.2        0.97  1.3
    lognormal 1, 1000 prompts               0.92  1.1        0.96  1.1        0.97  1.1
    lognormal 2, 100 prompts                0.68  1.3        0.83  1.6        0.91  2.7
    lognormal 2, 288 prompts                0.78  1.3        0.89  1.5        0.96  2.6
    lognormal 2, 1000 prompts               0.82  1.2        0.90  1.3        0.98  1.8
    lognormal 3, 100 prompts                0.46  0.89       0.57  1.2        0.81  3.7
    lognormal 3, 288 prompts                0.52  1          0.64  1.4        0.92  4
    lognormal 3, 1000 prompts               0.61  1.2        0.72  1.5        0.96  3.9
    Pareto 1.5, 100 prompts                 0.69  1.2        0.84  1.3        0.93  1.9
    Pareto 1.5, 288 prompts                 0.69  1.1        0.83  1.2        0.92  1.5
    Pareto 1.5, 1000 prompts                0.74  1.1        0.85  1.2        0.93  1.4
    Pareto 1.1, 100 prompts                 0.39  0.86       0.53  1          0.76  1.8
    Pareto 1.1, 288 prompts                 0.45  0.94       0.58  1.1        0.83  2.1
    Pareto 1.1, 1000 prompts                0.46  0.97       0.62  1.1        0.90  2.1
    5% thousandfold, 100 prompts            0.87  1.7        0.94  2.2        0.99  6.4
    5% thousandfold, 288 prompts            0.89  1.4        0.96  1.6        1.00  3.3
    5% thousandfold, 1000 prompts           0.94  1.2        0.97  1.3        1.00  1.8
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.records import FloatArray
from riskmon.statistics import tail_index


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """The size of one event that was not seen, as a part of the mean probability; all scalars, or [B] each.

    Attributes:
        heaviest: h, what the heaviest prompt adds to the mean.
        one_hit: 1 / M, what one hit of the target's own draws adds.
        shape: xi, from 0 to 1.
        certain: what a prompt as large as the largest would add if it were always answered harmfully.
    """

    heaviest: FloatArray | float
    one_hit: FloatArray | float
    shape: FloatArray | float
    certain: FloatArray | float

    @classmethod
    def after(cls, p: FloatArray, covered: FloatArray, share: FloatArray, target_draws: int) -> Unseen:
        """What m estimates and M draws of the target leave possible.

        Args:
            p: [m] probabilities. covered: [m] what covered hits contribute to them.
            share: [m] shares of the traffic, with sum 1.
            target_draws: M.
        """
        return cls(
            heaviest=float((share * p).max()),
            one_hit=1 / max(target_draws, 1),
            shape=_shape(share * covered),
            certain=float(share.max()),
        )

    def event(self, g: FloatArray) -> FloatArray:
        """U, [B] sizes for [B] draws of G."""
        shape = np.maximum(self.shape, 1e-9)  # the limit of 0 to nine digits, without a division by it
        light = self.heaviest * g
        heavy = np.minimum(self.heaviest * np.expm1(shape * g) / shape, np.maximum(light, self.certain))
        size: FloatArray = np.maximum(heavy, self.one_hit * g)
        return size

    def per_true(self, index: FloatArray) -> Unseen:
        """Judged harm as true harm, with [B] draws of Youden's index: a judged hit may stand for 1 / J true ones."""
        return Unseen(self.heaviest / index, self.one_hit / index, self.shape, self.certain)


def _shape(harm: FloatArray) -> float:
    fitted = tail_index(harm)
    return 0.0 if fitted is None else min(max(fitted, 0.0), 1.0)
