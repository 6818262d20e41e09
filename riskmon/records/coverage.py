"""How often the target itself did harm where no proposal goes, counted over many prompts."""

from __future__ import annotations

from dataclasses import dataclass

from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class CoverageCount:
    """Uncovered harmful draws of the target, pooled over prompts.

    Attributes:
        harm: name of the harm.
        stratum: where the prompts come from; None is all strata together.
        target_draws: draws of the target itself. gap_hits: harmful ones among them that no other proposal covers.
    """

    harm: str
    stratum: Stratum | None
    target_draws: int
    gap_hits: int
