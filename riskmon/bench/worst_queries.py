"""How right the worst query is: read from 1,000 prompts, held against the largest p among 100,000.

In come families of p(x) with light and heavy tails; a run draws 1,000 prompts, estimates them (exactly, or with so many
hits a prompt as a cycle has), extrapolates, and compares to the largest of 100,000 others. An answer is right within
one order of magnitude. No answer is a refusal and counts as neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from riskmon.bench.deployment_risk import Judge, Sampler, estimate
from riskmon.bench.markdown import markdown_table
from riskmon.forecast import worst_query_probability
from riskmon.records import FloatArray

PROMPTS = 1_000
DAY = 100_000

TOLERANCE = 1.0
"""Decades by which a right answer may be off."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A family of p: lognormal of the given median and log-sd, a share of it `factor` times higher; beta; or Pareto.

    Attributes:
        kind: lognormal, beta or Pareto. first, second: median and log-sd; alpha and beta; least p and tail index.
        share, factor: of a riskier kind of prompt.
    """

    kind: str
    first: float
    second: float
    share: float = 0.0
    factor: float = 1.0

    def draw(self, size: int, rng: np.random.Generator) -> FloatArray:
        """[size] probabilities."""
        if self.kind == "beta":
            p = rng.beta(self.first, self.second, size=size)
        elif self.kind == "Pareto":
            p = self.first * (1 + rng.pareto(self.second, size=size))
        else:
            p = rng.lognormal(np.log(self.first), self.second, size=size)
        risky: FloatArray = np.where(rng.random(size) < self.share, self.factor, 1.0)
        return np.minimum(p * risky, 1.0)


TAILS = {
    "lognormal 1": Tail("lognormal", 1e-5, 1.0),
    "lognormal 2": Tail("lognormal", 5e-6, 2.0),
    "lognormal 3": Tail("lognormal", 1e-6, 3.0),
    "beta 0.3": Tail("beta", 0.3, 300.0),
    "beta 0.05": Tail("beta", 0.05, 50.0),
    "beta 2": Tail("beta", 2.0, 2e5),
    "Pareto 3": Tail("Pareto", 1e-5, 3.0),
    "Pareto 1.5": Tail("Pareto", 1e-6, 1.5),
    "Pareto 1": Tail("Pareto", 1e-7, 1.0),
    "5% a hundredfold": Tail("lognormal", 2e-6, 1.0, 0.05, 100.0),
    "1% a thousandfold": Tail("lognormal", 2e-6, 1.0, 0.01, 1000.0),
    "0.02% a thousandfold": Tail("lognormal", 2e-6, 1.0, 0.0002, 1000.0),
}

BEYOND = ("Pareto 1.5", "Pareto 1", "0.02% a thousandfold")
"""Tails that the rule gets wrong more often than one time in seven without refusing, as its docstring says."""


@dataclass(frozen=True, slots=True)
class TailScore:
    """Answers on one family.

    Attributes:
        hits: expected hits a prompt; None for exact p.
        runs: how many. refused: runs without an answer. right: answers within TOLERANCE.
        median_log10: median of log10(answer / truth).
    """

    tail: str
    hits: float | None
    runs: int
    refused: int
    right: int
    median_log10: float

    @property
    def right_share(self) -> float:
        """Right ones among the answers; 1 without any."""
        answers = self.runs - self.refused
        return self.right / answers if answers else 1.0


def score_tail(
    name: str, *, runs: int, hits: Sequence[float | None] = (None, 8.0, 4.0), seed: int = 0
) -> list[TailScore]:
    """Score one family of TAILS, once with exact p and once for each number of hits a prompt."""
    scores = []
    for expected in hits:
        rng = np.random.default_rng([seed, list(TAILS).index(name)])
        errors = []
        for _ in range(runs):
            answer, truth = _run(TAILS[name], expected, rng)
            if answer is not None:
                errors.append(np.log10(answer / truth))
        right = int(np.sum(np.abs(errors) <= TOLERANCE))
        median = float(np.median(errors)) if errors else np.nan
        scores.append(TailScore(name, expected, runs, runs - len(errors), right, median))
    return scores


def render(scores: Sequence[TailScore]) -> str:
    """The scores as a Markdown table."""
    rows = (
        (
            row.tail,
            "exact p" if row.hits is None else f"{row.hits:g}",
            str(row.runs),
            f"{row.refused / row.runs:.0%}",
            f"{row.right_share:.0%}",
            f"{row.median_log10:+.2f}",
        )
        for row in scores
    )
    header = ("p(x)", "hits a prompt", "runs", "refused", "within one order", "median log10 error")
    return markdown_table(header, rows, names=header[:1])


def _run(tail: Tail, hits: float | None, rng: np.random.Generator) -> tuple[float | None, float]:
    """Answer and truth of one run."""
    p = tail.draw(PROMPTS, rng)
    truth = float(tail.draw(DAY, rng).max())
    if hits is not None:
        p = estimate(p, np.zeros(PROMPTS), Judge(), Sampler(hits=hits), rng).p
    return worst_query_probability(p, np.ones(PROMPTS), DAY), truth
