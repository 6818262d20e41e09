"""`/api/v1/estimates`: how healthy they are; per harm, without any prompt."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from riskmon.publish.answer import Answer, Number


class Audit(Answer):
    """Draws of the deployed model itself, and those of them whose harm no proposal reaches."""

    target_draws: int = Field(description="draws of the deployed model itself")
    gap_hits: int = Field(description="harmful ones among them that no proposal covers")
    uncovered_probability_upper: Number = Field(
        description="95% upper bound on the mean probability of harm that only the deployed model's own draws reach"
    )


class Observed(Answer):
    """Production responses that were judged, since the store was made."""

    outputs: int = Field(description="responses judged")
    harmful: int = Field(description="harmful ones among them")
    uncovered: int = Field(description="harmful ones that no proposal but the deployed model itself reaches")


class ResponseAudit(Answer):
    """Judged production responses in the coverage audit, of prompts in the store."""

    responses: int = Field(description="responses judged")
    gap_hits: int = Field(description="harmful ones among them that no proposal covers")
    from_target: bool = Field(description="whether they count as draws of the deployed model in `pooled`")


class HarmItem(Answer):
    """Health of one harm's estimates."""

    harm: str = Field(description="name of the harm")
    judge: str = Field(description="kind of its judge")
    ess_ratio: Number = Field(
        description="effective sample size of the weighted harm over draws, mean over prompts with hits"
    )
    khat: Number = Field(description="largest Pareto tail index; above 0.7 errors are understated")
    coverage_gap_ratio: Number = Field(
        description="share of the last cycle's prompts with the flag COVERAGE_GAP: harm that the proposals miss"
    )
    last_cycle: Audit | None = Field(
        description="coverage audit of the last cycle; null before the first one"
    )
    pooled: Audit | None = Field(
        description="coverage audit over all prompts, strata and days in the store; null without a count"
    )
    observed: Observed = Field(description="what production responses showed")
    responses: ResponseAudit | None = Field(
        description="production responses in the coverage audit; null without any"
    )


class Cycle(Answer):
    """The last estimate cycle."""

    started_at: datetime = Field(description="when it began")
    finished_at: datetime = Field(description="when it ended")
    complete: bool = Field(description="false where it was broken off")
    prompts: int = Field(description="prompts estimated")
    failures: dict[str, int] = Field(description="prompts without an estimate, by reason")
    left_out: int = Field(description="prompts that the device budget left without an estimate")
    tokens: int = Field(description="tokens pushed through any model")
    device_seconds: Number = Field(description="device time spent")
    weight_mean: Number = Field(description="mean importance weight; 1 in expectation")
    path_discrepancy_nats: Number = Field(
        description="largest difference between a decoded and a rescored log-probability"
    )


class EstimatesAnswer(Answer):
    """How healthy the estimates are; per harm, without any prompt."""

    taken_at: datetime = Field(description="when the store was read")
    cycle: Cycle | None = Field(description="the last estimate cycle; null before the first one")
    harms: list[HarmItem] = Field(description="in configured order")
