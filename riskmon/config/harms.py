"""What counts as harm, and against which budget."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from riskmon.config.judges import JudgeConfig
from riskmon.config.values import Name, Section


class HarmConfig(Section):
    """What counts as harm; every harm is an event over the same draws."""

    name: Name = Field(description="value of the label `harm`")
    judge: JudgeConfig = Field(description="how an answer is scored")
    threshold: float | None = Field(None, gt=0, le=1, description="overrides the judge's threshold")
    calibration: Path | None = Field(
        None,
        description="what `riskmon calibrate judge` wrote; the forecast then corrects for the judge's errors",
    )
    budget_daily: float | None = Field(None, gt=0, description="harmful outputs per day that are tolerated")

    @property
    def cut(self) -> float:
        """The threshold in force."""
        return self.judge.threshold if self.threshold is None else self.threshold

    @property
    def judge_key(self) -> str:
        """Equal for harms that one judge can serve: they differ in the threshold only."""
        return self.judge.model_dump_json(exclude={"threshold"})
