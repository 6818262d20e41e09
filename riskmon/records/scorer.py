"""Scorers, which tell risky prompts from ordinary ones before they are estimated."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from riskmon.records.arrays import Float32Array


class Unscored(StrEnum):
    """Why a scorer gave a prompt no usable score; the value is a metric label."""

    RAISED = "raised"
    NOT_A_NUMBER = "not_a_number"
    NEGATIVE = "negative"


@dataclass(frozen=True, slots=True)
class ScorerState:
    """What is shown of the newest text model.

    Attributes:
        made_at, variance_ratio: as of `ScorerModel`. helps: whether prompts are sampled by it.
    """

    made_at: datetime
    variance_ratio: float | None
    helps: bool


@dataclass(frozen=True, slots=True, eq=False)
class ScorerModel:
    """A linear model of log risk over hashed words and pairs of words, and whether it is worth using.

    Attributes:
        made_at: when it was trained.
        prompts: estimates it was trained on.
        variance_ratio: the forecast's variance with it over that of uniform sampling, on prompts it was not fitted
            to; None where there were too few to try.
        variance_ratio_upper: 95% upper limit of that.
        coefficients: [features] by hashed feature; None where it does not help, so that prompts are sampled alike.
        intercept, steepness, scale: a prompt of log risk m = intercept + coefficients @ features has the score
            floor + (1 - floor) exp(steepness m) scale, whose mean over the traffic is about 1.
    """

    made_at: datetime
    prompts: int
    variance_ratio: float | None = None
    variance_ratio_upper: float | None = None
    coefficients: Float32Array | None = field(default=None, repr=False)
    intercept: float = 0.0
    steepness: float = 1.0
    scale: float = 1.0

    @property
    def helps(self) -> bool:
        """Whether it is to be used."""
        return self.coefficients is not None
