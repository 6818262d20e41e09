"""Independent repeats of each method on one world, all with the same budget of tokens.

riskmon runs as in operation: in each repeat three cycles of one prompt, the second and third planned from the hits of
those before. Its first cycle is a cold start; its third is the one that has learnt. What a cycle costs is what
`Estimate.tokens` says: pilot, rescoring and scoring of hits included. The published method gets the mean cost of the
third cycle for every repeat, and brute force as many draws as that buys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from riskmon.bench.published import PublishedMethod
from riskmon.bench.tiny import PROMPT
from riskmon.errors import RiskmonError
from riskmon.estimate.session import Session
from riskmon.records import DOUBTS, Estimate, Hit, Prompt

CYCLES = 3

# Plans carry a time; a fixed one keeps repeats alike.
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One repeat of one method.

    Attributes:
        p: the estimate. ci_low, ci_high: its 95% interval.
        upper: its guaranteed 95% bound; None where a method has none.
        doubted: whether it says itself that it is not to be relied on.
        draws, tokens: its cost.
    """

    p: float
    ci_low: float
    ci_high: float
    upper: float | None
    doubted: bool
    draws: int
    tokens: int

    @classmethod
    def of(cls, estimate: Estimate) -> Outcome:
        """What riskmon's own estimate says."""
        return cls(
            p=estimate.p,
            ci_low=estimate.ci_low,
            ci_high=estimate.ci_high,
            upper=estimate.upper_bound,
            doubted=bool(DOUBTS & set(estimate.flags)),
            draws=estimate.n,
            tokens=estimate.tokens,
        )


def riskmon_cycles(
    session: Session, runs: Iterable[int], done: Callable[[], None]
) -> tuple[list[Outcome], list[Outcome]]:
    """Cold and learnt outcomes: those of the first and of the third cycle of every run.

    Args:
        session: its plans are reset before every run.
        runs: numbers of the runs; each names random streams of its own.
        done: called after every run.
    """
    cold, learnt = [], []
    for run in runs:
        session.replan([], NOW)
        hits: list[Hit] = []
        estimates: list[Estimate] = []
        for cycle in range(CYCLES):
            estimate, found = estimate_once(session, Prompt(f"run-{run}-cycle-{cycle}", PROMPT))
            estimates.append(estimate)
            hits += found
            session.replan(hits, NOW)
        cold.append(Outcome.of(estimates[0]))
        learnt.append(Outcome.of(estimates[-1]))
        done()
    return cold, learnt


def estimate_once(session: Session, prompt: Prompt) -> tuple[Estimate, Sequence[Hit]]:
    """The estimate of a session's only harm, and its hits.

    Raises:
        RiskmonError: the prompt failed, which no prompt of these worlds should.
    """
    result = session.estimate(prompt, keep=True)
    if result.failure is not None:
        raise RiskmonError(result.message)
    return result.estimates[0], result.hits


def published_runs(
    method: PublishedMethod, runs: Iterable[int], token_budget: float, seed: int, done: Callable[[], None]
) -> list[Outcome]:
    """Outcomes of the published method.

    It raises no flags; an estimate of 0 counts as doubted, since anybody would.

    Args:
        runs: numbers of the runs; each names a random stream.
        token_budget: for each. seed: root of the streams.
        done: called after every run.
    """
    outcomes = []
    for run in runs:
        found = method.estimate(
            Prompt(f"run-{run}", PROMPT), token_budget, np.random.default_rng([seed, run])
        )
        outcomes.append(
            Outcome(
                p=found.p,
                ci_low=found.ci_low,
                ci_high=found.ci_high,
                upper=None,
                doubted=found.hits == 0,
                draws=found.draws,
                tokens=found.tokens,
            )
        )
        done()
    return outcomes
