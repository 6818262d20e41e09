"""How often the target itself did harm where no proposal goes, counted over many prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace

from riskmon.records.traffic import Stratum


@dataclass(frozen=True, slots=True)
class CoverageCount:
    """Uncovered harmful draws of the target, pooled over prompts.

    Attributes:
        harm: name of the harm.
        stratum: where the prompts come from; None is all strata together.
        target_draws: draws of the target itself. gap_hits: harmful ones among them that no other proposal covers.
        responses: judged production responses. response_gap_hits: harmful ones among them that no proposal but the
            target covers.
    """

    harm: str
    stratum: Stratum | None
    target_draws: int
    gap_hits: int
    responses: int = 0
    response_gap_hits: int = 0

    def pooled(self, *, responses: bool) -> CoverageCount:
        """The count with responses taken for draws of the target, where they are; otherwise as it is."""
        if not responses:
            return self
        return replace(
            self,
            target_draws=self.target_draws + self.responses,
            gap_hits=self.gap_hits + self.response_gap_hits,
        )
