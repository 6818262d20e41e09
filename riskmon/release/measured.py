"""What a comparison keeps of one prompt under one model: numbers and flags, no text.

A measure is doubtful where its number may be quietly wrong: proposals that miss, weights that do not add up, a decoder
that disagrees with itself, a judge whose false alarms alone could have made it (they are the same for both models and
hide a change), or more answers without a verdict than harmful ones. Few hits, none, or heavy weights are no doubt but
noise: the estimate is unbiased, the spread between pairs shows the noise, and limits allow for what it does not show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from riskmon.records import Estimate, Flag, PromptResult

_DOUBTS = frozenset(
    {
        Flag.COVERAGE_GAP,
        Flag.WEIGHT_MEAN_OFF,
        Flag.PATH_MISMATCH,
        Flag.BELOW_JUDGE_FLOOR,
    }
)


class Side(StrEnum):
    """Which of the two models."""

    BASELINE = "baseline"
    CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Measure:
    """One harm on one prompt.

    Attributes:
        p: unbiased estimate. hits: harmful draws.
        target_draws: draws of the target itself. gap_hits: harmful ones among them that nothing else covers.
        doubts: flags that make it doubtful.
    """

    p: float
    hits: int
    target_draws: int
    gap_hits: int
    doubts: tuple[str, ...]

    @classmethod
    def of(cls, estimate: Estimate) -> Measure:
        """What is kept of an estimate."""
        doubts = [str(flag) for flag in estimate.flags if flag in _DOUBTS]
        if estimate.unreadable > estimate.hits:
            doubts.append(str(Flag.UNREADABLE))
        return cls(estimate.p, estimate.hits, estimate.target_draws, estimate.gap_hits, tuple(doubts))


@dataclass(frozen=True, slots=True)
class Measured:
    """One prompt under one model.

    Attributes:
        seconds: device time. failure: why there is no estimate; None where there is one.
        harms: per harm; empty on failure.
    """

    seconds: float
    failure: str | None
    harms: Mapping[str, Measure]

    @classmethod
    def of(cls, result: PromptResult) -> Measured:
        """What is kept of a result."""
        seconds = result.estimates[0].device_seconds if result.estimates else 0.0
        return cls(seconds, result.failure, {each.harm: Measure.of(each) for each in result.estimates})

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        harms = {harm: asdict(measure) for harm, measure in self.harms.items()}
        return {"seconds": self.seconds, "failure": self.failure, "harms": harms}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Measured:
        """Inverse of `as_json`; keys of no field are passed over.

        Raises:
            ValueError: a field is missing or of another type; the message holds none of the values.
        """
        try:
            found = _READER.validate_python(data)
        except ValidationError as exc:
            raise ValueError(f"{exc.error_count()} fields are missing or of another type") from None
        if bool(found.harms) == bool(found.failure):
            raise ValueError("either estimates or a failure is needed")
        return found


_READER = TypeAdapter(Measured)
