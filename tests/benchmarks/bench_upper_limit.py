"""Coverage of the 95% upper limit of a mean probability, by the rule for what was not seen.

`python tests/benchmarks/bench_upper_limit.py [--worlds N]` prints two tables: how often the limit holds and the median
ratio of limit to truth, for the bootstrap alone, with one more event of Fay & Feuer (shape 0), and with the event whose
shape the tail gives (`riskmon.forecast.unseen`). The first is about rare and missed harm, the second about heavy tails.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from riskmon.bench.deployment_risk import (
    Harm,
    Judge,
    Lognormal,
    Pareto,
    Points,
    Risk,
    Sampler,
    estimate,
)
from riskmon.forecast.harm_rate import HarmRate, HarmSample, harm_rate
from riskmon.forecast.uncovered import EarlierDraws
from riskmon.records import FloatArray

DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Scenario:
    """m prompts of one kind of harm, estimated by `sampler`; plain sampling where its `hits` are 0.

    `spread` is the share of prompts that carry the missed harm, `days` how many lookbacks of draws came before.
    """

    name: str
    prompts: int
    harm: Harm
    sampler: Sampler
    spread: float = 1.0
    days: int = 0

    def truth(self) -> float:
        return float(self.harm.mean(np.zeros(1))[0])

    def sample(self, rng: np.random.Generator) -> tuple[HarmSample, EarlierDraws]:
        m = self.prompts
        covered = self.harm.covered.draw(m, np.ones(m), rng)
        if self.sampler.hits == 0:
            hits = rng.binomial(self.sampler.draws, covered)
            p = hits / self.sampler.draws
            sample = HarmSample(
                p,
                np.sqrt(p * (1 - p) / self.sampler.draws),
                np.ones(m),
                float(m),
                np.ones(m, dtype=bool),
                np.zeros(m),
                m * self.sampler.draws,
                0,
                int(hits.sum()),
            )
            return sample, EarlierDraws()
        earlier = EarlierDraws(
            self.days * m * self.sampler.target_draws,
            int(sum(self._gap(m, rng).sum() for _ in range(self.days))),
        )
        got = estimate(covered, self._missed(m, rng), Judge(), self.sampler, rng)
        sample = HarmSample(
            got.p,
            got.stderr,
            np.ones(m),
            float(m),
            np.ones(m, dtype=bool),
            got.gap / self.sampler.target_draws,
            m * self.sampler.target_draws,
            int(got.gap.sum()),
            int(got.hits.sum()),
        )
        return sample, earlier

    def _missed(self, m: int, rng: np.random.Generator) -> FloatArray:
        missed = self.harm.missed.draw(m, np.full(m, 1 / self.spread), rng)
        return np.where(rng.random(m) < self.spread, missed, 0.0)

    def _gap(self, m: int, rng: np.random.Generator) -> FloatArray:
        return rng.binomial(self.sampler.target_draws, self._missed(m, rng)).astype(np.float64)


PLAIN = Sampler(draws=200, target_draws=200, hits=0)
PROPOSALS = Sampler(draws=500, target_draws=50, hits=4)
TAILS = Sampler(draws=500, target_draws=100_000, hits=8)  # so many that a missed hit weighs nothing


def _ln(mean: float, log_sd: float = 1.0) -> Lognormal:
    return Lognormal(mean, log_sd)


RARE = [
    Scenario("300 prompts, 1,800 hits", 300, Harm(_ln(0.03)), PLAIN),
    Scenario("300 prompts, 6 hits", 300, Harm(_ln(1e-4)), PLAIN),
    Scenario("300 prompts, 1 hit", 300, Harm(_ln(1 / 60_000)), PLAIN),
    Scenario("30 prompts, 170 hits", 30, Harm(_ln(0.0283)), PLAIN),
    Scenario("5 prompts, 26 hits", 5, Harm(_ln(0.026)), PLAIN),
    Scenario("covered 1e-4", 300, Harm(_ln(1e-4)), PROPOSALS),
    Scenario("covered 1e-6", 300, Harm(_ln(1e-6)), PROPOSALS),
    Scenario("  with six earlier days", 300, Harm(_ln(1e-6)), PROPOSALS, days=6),
    Scenario("covered 1e-6, missed 5e-4", 300, Harm(_ln(1e-6), _ln(5e-4)), PROPOSALS),
    Scenario("  with six earlier days", 300, Harm(_ln(1e-6), _ln(5e-4)), PROPOSALS, days=6),
    Scenario("  all of it in one prompt of ten", 300, Harm(_ln(1e-6), _ln(5e-4)), PROPOSALS, 0.1),
    Scenario("  all of it in one prompt of a hundred", 300, Harm(_ln(1e-6), _ln(5e-4)), PROPOSALS, 0.01),
    Scenario("covered 1e-6, missed 2e-4", 300, Harm(_ln(1e-6), _ln(2e-4)), PROPOSALS),
    Scenario("covered 1e-6, missed 5e-5", 300, Harm(_ln(1e-6), _ln(5e-5)), PROPOSALS),
    Scenario("  with six earlier days", 300, Harm(_ln(1e-6), _ln(5e-5)), PROPOSALS, days=6),
    Scenario("covered 1e-6, missed 1e-5, six days", 300, Harm(_ln(1e-6), _ln(1e-5)), PROPOSALS, days=6),
]

_KINDS: dict[str, Risk] = {
    "all alike": Points((1e-4,), (1.0,)),
    "lognormal 1": _ln(1e-4, 1.0),
    "lognormal 2": _ln(1e-4, 2.0),
    "lognormal 3": _ln(1e-4, 3.0),
    "Pareto 1.5": Pareto(3e-5, 1.5),
    "Pareto 1.1": Pareto(1e-5, 1.1),
    "5% thousandfold": Points((1e-5, 1e-2), (0.95, 0.05)),
}
HEAVY = [
    Scenario(f"{kind}, {m} prompts", m, Harm(risk), TAILS)
    for kind, risk in _KINDS.items()
    for m in (100, 288, 1000)
]


def _flat(rate: HarmRate) -> HarmRate:
    return replace(rate, unseen=replace(rate.unseen, shape=0.0))


RULES: dict[str, Callable[[HarmRate, FloatArray], FloatArray]] = {
    "bootstrap alone": lambda rate, _: rate.draws,
    "shape 0": lambda rate, g: _flat(rate).cautious(g),
    "this rule": lambda rate, g: rate.cautious(g),
}


def run(scenario: Scenario, worlds: int, seed: int) -> str:
    """One row: the share of worlds in which the limit holds, and its median ratio to the truth, by rule."""
    rng = np.random.default_rng(seed)
    limits = np.empty((worlds, len(RULES)))
    for row in limits:
        sample, earlier = scenario.sample(rng)
        rate, g = harm_rate(sample, earlier, draws=DRAWS, rng=rng), rng.exponential(size=DRAWS)
        row[:] = [np.quantile(rule(rate, g), 0.95) for rule in RULES.values()]
    ratio = limits / scenario.truth()
    cells = [f"{np.mean(r >= 1):.2f}  {np.median(r):<6.2g}" for r in ratio.T]
    return f"{scenario.name:40}" + "   ".join(f"{cell:14}" for cell in cells)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1500)
    args = parser.parse_args()
    for table in (RARE, HEAVY):
        print(f"{'scenario':40}" + "   ".join(f"{name:14}" for name in RULES))
        for number, scenario in enumerate(table):
            print(run(scenario, args.worlds, number), flush=True)
        print()


if __name__ == "__main__":
    main()
