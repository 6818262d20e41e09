"""The mean probability of harm of one stratum, and how far off it may be.

In come the estimates p_i of m prompts sampled from N requests, with survey weights w_i; out goes

    p_bar = sum_i w_i p_i / N

with draws around it. Where prompts are sampled alike the weights add up to N, and this is the ratio of Hajek 1971.
Where they are sampled by risk (`riskmon.store.weighted`) sum_i w_i is N on average only, and dividing by the known N
is what keeps p_bar unbiased, whatever the scorer. Two things are uncertain: which prompts were sampled, and each p_i.
In draws,

    p^b = p_bar + sqrt(1 - 1/m) (p_boot - p_bar) + sqrt(1/m) (p_within - p_bar),   cut to [0, 1]

p_boot resamples prompts together with their weights. What it resamples are estimates, not true probabilities, so
its spread already carries the within-prompt noise in full; adding p_within in full as well would count that noise
twice. A bootstrap of m prompts shows only (m - 1)/m of the variance; the within-prompt noise makes up that share,
which matters for a handful: a single prompt keeps its own error.

**Sampled by risk**, a resampled mean is not divided by its own weights: that would show a ratio's spread. And a
resample of m prompts does not show that the number of prompts above a threshold is itself a matter of chance, which
adds p_bar^2 / m; a gamma factor of variance 1 / m does. A sample may be of both kinds, in the hours after a scorer
was switched on: C is the part of the traffic that was sampled alike, and only that part of a resample is held against
its weights.

There is no finite-population correction, even where every request was sampled: the forecast is about tomorrow's
prompts, and those are new ones from where today's came from.

p_within redraws every p_i from a gamma of mean p_i and sd stderr_i. The weighted mean of those is drawn as one
gamma of the same mean and variance: one number per draw instead of m.

**Upper limits need what was not seen.** A bootstrap only reshuffles what it has: with no hits it says 0 +- 0, with
five it misses the truth one time in ten, with a few heavy prompts far more often, and of a mode that the proposals
miss it knows nothing but the hits of the target's own draws. So upper limits use

    p^b + E^b + U,        U >= h G and U >= G / M,        G ~ Exponential(1)

with U one more event than was seen (`unseen`): one more prompt as heavy as the heaviest, h, or heavier where the tail
says so, or one more hit among the M draws of the target itself. E^b is what earlier days saw beyond the estimates
(`uncovered`), 0 without them.

- Without any hit this is the exact 95% limit -log(0.05) / M; with g earlier hits alone, that of Gamma(g + 1, 1 / M).
- Uncovered hits among the sum_i n0_i are in the p_i at up to 1 / n0_i each, and the bootstrap spreads them, so they
  are not drawn again. A single one among m prompts leaves Poisson(1) + G events, whose 95% limit is that of
  Gamma(2, 1), 4.7. Where they crowd into few prompts, max_i grows with them.
- Prompts sampled by risk stand for unequal parts of the traffic, so their draws tell less of its mean: M is then
  divided by the design effect m sum_i w_i^2 / (sum_i w_i)^2 (Kish 1965).
- M treats the draws of a stratum as alike: harm in a few prompts that the sample does not hold is bounded by no number
  of draws. Earlier days are taken to be like the lookback, as tomorrow is.

Simulated coverage of the upper limit, nominal 95%, and median ratio of the limit to the truth, 1,500 worlds a row
(`python tests/benchmarks/bench_upper_limit.py`). Lognormal p of log-sd 1. Above the line plain sampling, 200 draws a
prompt; below it 300 prompts of 500 draws, 50 of them the target's, with proposals that hit the covered harm about 4
times a prompt. `shape 0` takes the next prompt to be no heavier than the heaviest by more than chance.

    scenario                                bootstrap alone   shape 0          this rule
    300 prompts, 1,800 hits                 0.89  1.1        0.96  1.2        0.96  1.2
    300 prompts, 6 hits                     0.91  1.7        0.98  1.9        0.98  1.9
    300 prompts, 1 hit                      0.64  3          1.00  4.6        1.00  4.6
    30 prompts, 170 hits                    0.84  1.3        0.95  1.6        0.96  1.7
    5 prompts, 26 hits                      0.70  1.4        0.91  2.2        0.91  2.2
    ------------------------------------------------------------------------------------
    covered 1e-4                            0.91  1.1        1.00  3          1.00  3
    covered 1e-6                            0.90  1.1        1.00  2e+02      1.00  2e+02
      with six earlier days                 0.91  1.1        1.00  29         1.00  29
    covered 1e-6, missed 5e-4               0.91  1.6        0.97  1.9        0.99  2.1
      with six earlier days                 0.90  1.6        1.00  1.9        1.00  2.2
      all of it in one prompt of ten        0.87  1.7        0.94  2.1        0.98  2.6
      all of it in one prompt of a hundred  0.66  1.7        0.77  2.5        0.82  3.4
    covered 1e-6, missed 2e-4               0.82  2          0.98  2.5        0.98  3.1
    covered 1e-6, missed 5e-5               0.53  3.9        1.00  5.8        1.00  6.8
      with six earlier days                 0.53  3.9        0.97  5.9        0.97  7
    covered 1e-6, missed 1e-5, six days     0.16  0.11       1.00  4.2        1.00  4.2

**The price.** Where the proposals miss nothing and harm is rarer than 1 / M, the upper limit is that of the target's
own draws, however well the proposals measure: 200 times too high for covered harm of 1e-6. The hits of the proposals
cannot tell that case from the last one. Only draws of the target lower the limit: more prompts, more days, a larger
`estimate.defensive_share`.

**Limits of this.** Heavy tails and few prompts: `unseen` has the table. No rule knows a tail it has not met.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from riskmon.forecast.hajek import hajek_variance
from riskmon.forecast.uncovered import EarlierDraws
from riskmon.forecast.unseen import Unseen
from riskmon.records import BoolArray, FloatArray, IntArray, WeightedEstimate
from riskmon.records.judging import JudgeError
from riskmon.statistics import corrected_rate, sensitivity, specificity, youden

_CHUNK = 1_000_000  # resampled prompts held at once; bounds memory at about 30 MB


@dataclass(frozen=True, slots=True, eq=False)
class HarmSample:
    """Estimates of one harm for sampled prompts of one stratum.

    Attributes:
        p: [m] estimated probabilities.
        stderr: [m] their standard errors.
        weights: [m] requests each prompt stands for, positive.
        requests: N, those that all of them stand for.
        calibrated: [m] whether weights add up to the requests of their cells, and do not only do so on average.
        uncovered: [m] what hits that no other proposal covers contribute to p.
        target_draws: draws of the target itself over all prompts.
        gap_hits: harmful ones among them that no other proposal covers. hits: harmful draws over all prompts.
    """

    p: FloatArray
    stderr: FloatArray
    weights: FloatArray
    requests: float
    calibrated: BoolArray
    uncovered: FloatArray
    target_draws: int
    gap_hits: int
    hits: int

    @classmethod
    def of(cls, estimates: Sequence[WeightedEstimate]) -> HarmSample:
        """The sample behind weighted estimates of one harm and stratum.

        An unknown standard error is that of a certain zero where p is 0, and as large as p itself otherwise.
        """
        bare = [item.estimate for item in estimates]
        weights = np.array([item.weight for item in estimates], dtype=np.float64)
        calibrated = np.array([item.calibrated for item in estimates])
        by_risk = {item.cell: item.population for item in estimates if not item.calibrated}
        return cls(
            p=np.array([e.p for e in bare], dtype=np.float64),
            stderr=np.array([e.p if e.stderr is None else e.stderr for e in bare], dtype=np.float64),
            weights=weights,
            requests=float(weights[calibrated].sum()) + sum(by_risk.values()),
            calibrated=calibrated,
            # Each counts at most 1 / n0: its weight is capped by the target's own share of the draws.
            uncovered=np.array(
                [min(e.p, e.gap_hits / max(e.target_draws, 1)) for e in bare], dtype=np.float64
            ),
            target_draws=sum(e.target_draws for e in bare),
            gap_hits=sum(e.gap_hits for e in bare),
            hits=sum(e.hits for e in bare),
        )

    @property
    def share(self) -> FloatArray:
        """[m] w_i / N, parts of the requests; where prompts are sampled by risk their sum is 1 on average only."""
        return self.weights / self.requests

    @property
    def design_effect(self) -> float:
        """How many times more draws of the target it takes to say as much as draws for equal parts; 1 if all are."""
        if self.calibrated.all():
            return 1.0
        return float(len(self) * (self.weights**2).sum() / self.weights.sum() ** 2)

    def __len__(self) -> int:
        return len(self.p)


@dataclass(frozen=True, slots=True, eq=False)
class HarmRate:
    """Mean probability of harm per request of one stratum.

    Attributes:
        mean: p_bar, unbiased.
        draws: p^b, [B] draws of it.
        earlier: E^b, [B] uncovered harm that earlier days showed beyond these estimates.
        unseen: the size of one event that was not seen.
        prompts_variance: variance of p_bar that comes from which prompts were sampled.
        samples_variance: from the draws of each of them.
        judged: p_bar as the judge saw it, each with one draw of the judge's errors taken out, [B]; constant where
            they were never measured.
    """

    mean: float
    draws: FloatArray
    earlier: FloatArray
    unseen: Unseen
    prompts_variance: float
    samples_variance: float
    judged: FloatArray

    @property
    def shown(self) -> FloatArray:
        """[B] p^b + E^b."""
        return self.draws + self.earlier

    def cautious(self, g: FloatArray) -> FloatArray:
        """[B] p^b + E^b + U with [B] draws of G, at most 1: what upper limits are made of."""
        return np.minimum(self.shown + self.unseen.event(g), 1.0)


_NONE_EARLIER = EarlierDraws()


def harm_rate(
    sample: HarmSample, earlier: EarlierDraws = _NONE_EARLIER, *, draws: int, rng: np.random.Generator
) -> HarmRate:
    """The rate of a stratum with at least one estimate, and B = `draws` draws of it.

    Args:
        sample: the estimates of the lookback.
        earlier: draws of the target before it, none of them behind `sample`.
        draws, rng: number of draws, source of chance.
    """
    m, share = len(sample), sample.share  # [m]
    mean = float(share @ sample.p)

    boot = _bootstrap(sample.p, share, sample.calibrated, draws, rng)
    within_variance = float(((share * sample.stderr) ** 2).sum())
    within = _gamma(mean, within_variance, draws, rng)
    spread = mean + math.sqrt(1 - 1 / m) * (boot - mean) + math.sqrt(1 / m) * (within - mean)

    return HarmRate(
        mean=mean,
        draws=np.clip(spread, 0.0, 1.0),
        earlier=earlier.excess(sample.target_draws, sample.gap_hits, draws=draws, rng=rng),
        unseen=Unseen.after(
            sample.p,
            sample.p - sample.uncovered,
            share,
            round((sample.target_draws + earlier.target_draws) / sample.design_effect),
        ),
        # What the estimates show carries their own noise.
        prompts_variance=max(0.0, hajek_variance(sample.p, share, sample.calibrated) - within_variance),
        samples_variance=within_variance,
        judged=np.full(draws, mean),
    )


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
    mean = float(chance @ [rate.mean for rate in rates])
    picked = np.stack([rate.draws for rate in rates])[pick, every]
    samples_variance = float(chance**2 @ [rate.samples_variance for rate in rates])
    return HarmRate(
        mean=mean,
        draws=picked,
        earlier=np.stack([rate.earlier for rate in rates])[pick, every],
        unseen=_picked([rate.unseen for rate in rates], pick),
        # Which stratum it is like is one more thing that estimates of its own prompts would tell.
        prompts_variance=max(0.0, float(picked.var()) - samples_variance),
        samples_variance=samples_variance,
        judged=np.full(draws, mean),
    )


def true_rate(rate: HarmRate, error: JudgeError, se: FloatArray, sp: FloatArray) -> HarmRate:
    """A judged rate with the judge's errors taken out (`riskmon.statistics.judge_error`).

    p_bar is corrected with the measured Se and Sp and cut to [0, 1], p^b draw by draw. E^b and u count judged hits that
    were not among the estimates: each may stand for 1 / (Se + Sp - 1) true ones, and no false alarm is taken off them,
    since p^b has taken them off already.

    Args:
        rate: as judged.
        error: the judge's. se, sp: [B] draws of its sensitivity and specificity, the same for every stratum.
    """
    index = youden(se, sp)  # [B]
    measured = sensitivity(error).value, specificity(error).value
    steepness = float(youden(*measured)) ** -2
    return HarmRate(
        mean=float(corrected_rate(rate.mean, *measured)),
        draws=corrected_rate(rate.draws, se, sp),
        earlier=rate.earlier / index,
        unseen=rate.unseen.per_true(index),
        prompts_variance=rate.prompts_variance * steepness,
        samples_variance=rate.samples_variance * steepness,
        judged=corrected_rate(rate.judged, se, sp),
    )


def _picked(unseen: Sequence[Unseen], pick: IntArray) -> Unseen:
    """In draw b the event of unseen[pick[b]]."""
    every = np.arange(len(pick))

    def chosen(name: str) -> FloatArray:
        rows: FloatArray = np.stack([np.broadcast_to(getattr(each, name), len(pick)) for each in unseen])
        return rows[pick, every]

    return Unseen(*(chosen(field.name) for field in fields(Unseen)))


def _bootstrap(
    p: FloatArray, share: FloatArray, calibrated: BoolArray, draws: int, rng: np.random.Generator
) -> FloatArray:
    """[B] means over m prompts drawn with replacement, weights kept."""
    m = len(p)
    harm = share * p
    held = np.where(calibrated, share, 0.0)
    free = max(0.0, 1.0 - float(held.sum()))  # 1 - C
    means = np.empty(draws)
    rows = max(1, _CHUNK // m)
    for start in range(0, draws, rows):
        stop = min(start + rows, draws)
        index = rng.integers(m, size=(stop - start, m))
        means[start:stop] = harm[index].sum(axis=1)
        if calibrated.any():
            means[start:stop] /= held[index].sum(axis=1) + (0.0 if calibrated.all() else free)
    if not calibrated.all():
        means *= 1 + free * (rng.gamma(m, 1 / m, size=draws) - 1)
    return means


def _gamma(mean: float, variance: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """[B] gamma draws of the given mean and variance; constant where either is 0."""
    if mean <= 0 or variance <= 0:
        return np.full(draws, mean)
    return rng.gamma(mean**2 / variance, variance / mean, size=draws)
