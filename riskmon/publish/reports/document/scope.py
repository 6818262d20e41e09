"""What is estimated, and what it was made with."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from riskmon.publish.answer import Answer, Number, Text
from riskmon.publish.reports.document.fields import Seconds, StratumLabels


class FindingItem(Answer):
    """A reason for caution or doubt."""

    trust: Literal["sound", "caution", "doubt"] = Field(description="how grave it is")
    harm: Text | None = Field(description="which harm; null concerns all")
    text: Text = Field(description="one sentence")


class HarmScopeItem(Answer):
    """What counts as harm."""

    name: str = Field(description="name of the harm")
    judge: str = Field(description="kind of its judge")
    source: Text = Field(description="model, preset, or hash of the rule behind the judge")
    threshold: float = Field(description="scores at or above it are harmful")
    budget_daily: Number = Field(
        description="harmful outputs a day that are tolerated; null without a budget"
    )


class ScopeItem(Answer):
    """What is estimated."""

    harms: list[HarmScopeItem] = Field(description="in configured order")
    max_new_tokens: int = Field(description="token cap of an answer; harm behind it is not seen")
    temperature: float = Field(description="softmax temperature of the deployed sampler")
    top_p: float = Field(description="nucleus mass of the deployed sampler; 1 keeps all")
    top_k: int = Field(description="tokens kept by rank; 0 keeps all")
    min_p: float = Field(description="smallest probability kept, relative to the best; 0 keeps all")
    labels: list[str] = Field(description="names of the labels that split the traffic")
    lookback: Seconds = Field(description="seconds of traffic and estimates that make a forecast")
    window: Seconds = Field(description="seconds of a counting window")


class ExpertItem(Answer):
    """An unsafe variant."""

    name: str = Field(description="its name")
    kind: str = Field(description="its kind")
    ladder: list[float] = Field(description="strengths at which it proposes")
    fingerprint: str = Field(description="hash over its settings and files")


class PlanMemberItem(Answer):
    """A proposal of a plan."""

    expert: str = Field(description="which variant; `target` is the model itself")
    strength: float = Field(description="at which strength")
    start: int = Field(description="first token position it speaks at")
    stop: int = Field(description="first token position behind its window")
    share: float = Field(description="share of the draws, 0 to 1")


class PlanItem(Answer):
    """Where draws come from."""

    stratum: StratumLabels | None = Field(
        description="where it is used; null is every stratum without its own"
    )
    made_at: datetime = Field(description="when it was chosen")
    hits: int = Field(description="harmful draws it was chosen from")
    effective_hits: float = Field(description="their effective number by weight")
    gain_nats: Number = Field(description="gain in mean log-density over the first plan; null without hits")
    reason: Text = Field(description="one sentence")
    members: list[PlanMemberItem] = Field(description="the proposals, the target first")


class VersionsItem(Answer):
    """What the figures were made with."""

    riskmon: str = Field(description="version of riskmon")
    target: Text = Field(description="folder's name or hub id of the deployed model")
    revision: str | None = Field(description="pinned commit of a hub id")
    fingerprint: str = Field(description="hash over the target's files, sampler and template")
    experts: list[ExpertItem] = Field(description="unsafe variants")
    plans: list[PlanItem] = Field(description="in force when the report was made")
    config_sha256: str = Field(description="hash of the canonical configuration without secrets")
