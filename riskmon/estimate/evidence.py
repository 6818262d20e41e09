"""What is kept of a prompt's draws once they are weighed and judged: enough to estimate, and to add more draws later.

Draws come in stages. The pilot is drawn from the plan frozen before the cycle; from its hits the prompt's own plan is
chosen, and the main stage is drawn from that. Further stages may follow from the same plan. Only the pilot decides how
later draws are made and how many there are, and it does not count in p: whatever it showed, the later stages are
unbiased, and so is their mean. Were it counted, a prompt whose pilot saw nothing would be left at nothing more
often than one whose pilot saw harm, and rare harm would come out too low. All stages count in the guaranteed bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskmon.estimate.weights import Weights
from riskmon.records import BoolArray, Draws, FloatArray, Verdicts


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """Draws of one stage, weighed.

    Attributes:
        weights: of its n draws.
        counted: whether its draws count in p; a pilot's do not.
        slope: coefficient of the control variate w - 1 per harm, fixed by an earlier stage; 0 leaves it out.
        target_draws: draws of the target itself.
        cut: draws that reached the token cap.
        path_discrepancy, tokens, device_seconds: see `Draws`.
    """

    weights: Weights
    counted: bool
    slope: tuple[float, ...]
    target_draws: int
    cut: int
    path_discrepancy: float
    tokens: int
    device_seconds: float

    @classmethod
    def of(cls, draws: Draws, weights: Weights, *, counted: bool, slope: tuple[float, ...]) -> Stage:
        """What is kept of weighed draws."""
        return cls(
            weights=weights,
            counted=counted,
            slope=slope,
            target_draws=int(draws.counts[0]),
            cut=int((~draws.ended).sum()),
            path_discrepancy=draws.path_discrepancy,
            tokens=draws.forward_tokens,
            device_seconds=draws.device_seconds,
        )

    def __len__(self) -> int:
        return len(self.weights.log_weights)


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """One harm's verdicts on the draws of one stage.

    Attributes:
        harmful: [n] bool.
        unreadable: [n] bool, no verdict.
        multiplicity: [n] float64, how many draws a verdict stands for (see `Verdicts`).
    """

    harmful: BoolArray
    unreadable: BoolArray
    multiplicity: FloatArray

    @classmethod
    def of(cls, verdicts: Verdicts, threshold: float) -> Reading:
        """Verdicts cut at a threshold."""
        n = len(verdicts.scores)
        given = verdicts.multiplicity
        return cls(verdicts.harmful(threshold), verdicts.unreadable, np.ones(n) if given is None else given)

    @property
    def events(self) -> FloatArray:
        """[n] float64, h times multiplicity: unbiased for the event under any judge."""
        return self.harmful * self.multiplicity

    @property
    def worst_events(self) -> FloatArray:
        """[n] float64, as `events` with unreadable verdicts taken as harmful."""
        return (self.harmful | self.unreadable) * self.multiplicity

    @property
    def largest(self) -> float:
        """The largest multiplicity a verdict can have, at least 1."""
        return float(max(1.0, self.multiplicity.max(initial=1.0)))
