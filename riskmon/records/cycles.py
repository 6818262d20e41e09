"""What an estimate cycle did, and how healthy its estimates were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from riskmon.records.estimates import Flag


@dataclass(frozen=True, slots=True)
class HarmHealth:
    """Health of one harm's estimates over a cycle.

    Attributes:
        ess_ratio: mean over prompts with hits of ESS(w*h) / n; None without hits.
        khat: largest Pareto tail index; None where no prompt had enough hits.
        coverage_gap_ratio: share of prompts flagged COVERAGE_GAP.
        target_draws, gap_hits: pooled over the cycle's prompts.
        uncovered_upper: 95% upper bound on the mean probability of harm that only the target itself reaches.
        flagged: how many of the cycle's estimates carry each flag, 0 for those that none does; None in cycles of a
            riskmon that did not count them.
    """

    harm: str
    ess_ratio: float | None
    khat: float | None
    coverage_gap_ratio: float
    target_draws: int
    gap_hits: int
    uncovered_upper: float
    flagged: Mapping[Flag, int] | None = None


@dataclass(frozen=True, slots=True)
class CycleSummary:
    """One estimate cycle: what was done, what was left out, how healthy it was.

    Attributes:
        prompts: prompts with an estimate. failures: prompts without one, per reason.
        left_out: prompts that waited when the cycle began and were not reached.
        tokens, device_seconds: cost.
        weight_mean: mean over prompts of the mean importance weight; None without estimates.
        path_discrepancy: largest of any prompt, see `Draws`.
        complete: the cycle came to the end of its prompts or of its device budget, and was not broken off.
    """

    started_at: datetime
    finished_at: datetime
    prompts: int
    failures: Mapping[str, int]
    left_out: int
    tokens: int
    device_seconds: float
    weight_mean: float | None
    path_discrepancy: float
    health: tuple[HarmHealth, ...]
    complete: bool

    @property
    def duration_seconds(self) -> float:
        """Wall time of the cycle."""
        return (self.finished_at - self.started_at).total_seconds()
