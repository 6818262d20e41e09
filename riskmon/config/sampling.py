"""How prompts are chosen for the sample: all alike, or the riskier ones more often."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from riskmon.config.values import Cron, Section


class SamplingConfig(Section):
    """Whether riskier prompts are sampled more often; forecasts stay unbiased either way."""

    by: Literal["uniform", "risk"] = Field(
        "uniform",
        description="uniform samples all prompts alike; risk those more often that a scorer finds risky",
    )
    floor: float = Field(
        0.1,
        ge=0.01,
        lt=1,
        description="smallest size of a prompt, where an ordinary one has 1; the largest is its inverse",
    )
    scorer: str | None = Field(
        None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="your own scorer, as package.module:function; not given, a text model learns from the estimates",
    )
    retrain: Cron = Field("0 3 * * *", description="crontab of the text model's training, UTC")

    @model_validator(mode="after")
    def _scorer_is_used(self) -> SamplingConfig:
        if self.scorer is not None and self.by == "uniform":
            raise ValueError("a scorer is used only with by: risk")
        return self

    @property
    def trains(self) -> bool:
        """Whether the text model is in use."""
        return self.by == "risk" and self.scorer is None
