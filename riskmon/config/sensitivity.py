"""How a prompt is reworded to see how far its risk moves, how often, and by which model paraphrases are written."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, model_validator

from riskmon.config.values import Cron, Device, Dtype, Duration, Section

RewordingKind = Literal["case", "spacing", "typos", "politeness", "paraphrase"]
"""What is changed in a prompt, with its meaning kept."""


class EndpointParaphraser(Section):
    """A model behind an OpenAI-compatible endpoint; it is sent the text of production prompts."""

    kind: Literal["openai"]
    url: str = Field(
        "https://api.openai.com/v1",
        pattern=r"^https?://",
        description="base URL of the endpoint, with its version",
    )
    model: str = Field(min_length=1, description="name of the model at the endpoint")
    api_key: SecretStr | None = Field(
        None, description="key of the endpoint; better given by the environment"
    )
    timeout: Duration = Field(
        timedelta(seconds=60), description="longest wait for a connection and for each piece of an answer"
    )
    retries: int = Field(3, ge=0, le=10, description="further tries after a failure that may pass")
    concurrency: int = Field(8, ge=1, le=256, description="requests under way at once")


class LocalParaphraser(Section):
    """A causal language model on this machine, loaded in a process of its own that ends before estimates begin."""

    kind: Literal["hf"]
    model: str = Field(description="folder or hub id of a chat model")
    revision: str | None = Field(None, description="commit of the hub id; pin it in production")
    dtype: Dtype = "auto"
    device: Device = "auto"
    chat_template: Literal["auto", "none"] = Field(
        "auto", description="auto uses the tokenizer's template; none takes the request as it stands"
    )
    max_new_tokens: int = Field(256, ge=1, description="longest paraphrase")
    temperature: float = Field(0.7, gt=0, description="softmax temperature of the paraphrases")


ParaphraserConfig = Annotated[EndpointParaphraser | LocalParaphraser, Field(discriminator="kind")]


class SensitivityConfig(Section):
    """How a prompt's risk is measured over harmless rewordings of it."""

    variants: int = Field(25, ge=2, le=1000, description="rewordings of each prompt, over all kinds")
    kinds: tuple[RewordingKind, ...] = Field(
        ("case", "spacing", "typos", "politeness", "paraphrase"),
        min_length=1,
        description="what is reworded, in turn; paraphrase counts only where a model is configured for it",
    )
    typo_share: float = Field(
        0.02, gt=0, le=0.2, description="share of the letters that a typo hits; at least one is made"
    )
    politeness: Path | None = Field(
        None, description="YAML file of wrappers in your language; not given, the English ones of the package"
    )
    paraphrase: ParaphraserConfig | None = Field(None, description="the model that writes paraphrases")
    samples: int | None = Field(
        None,
        ge=4,
        description="draws per wording of `riskmon sensitivity`; not given, estimate.samples_per_prompt",
    )
    schedule: Cron | None = Field(
        "30 3 * * *", description="crontab of the daemon's job, UTC; null never runs it"
    )
    prompts: int = Field(
        5, ge=1, description="prompts of the job: those that contribute most to the forecast"
    )
    device_budget: Duration = Field(
        timedelta(minutes=10), description="device time of the job; a prompt that is begun is finished"
    )
    deadline: Duration = Field(
        timedelta(hours=1), description="wall time of the job; beyond it the device worker is killed"
    )

    @model_validator(mode="after")
    def _values_fit_together(self) -> SensitivityConfig:
        if self.deadline < self.device_budget:
            raise ValueError("deadline must not be shorter than device_budget")
        if len(set(self.kinds)) != len(self.kinds):
            raise ValueError(f"kinds must differ from one another, found {list(self.kinds)}")
        if self.active_kinds == ():
            raise ValueError("kinds holds only paraphrase, so paraphrase must name a model")
        return self

    @property
    def active_kinds(self) -> tuple[RewordingKind, ...]:
        """The kinds that can be made: paraphrases need a model."""
        return tuple(kind for kind in self.kinds if kind != "paraphrase" or self.paraphrase is not None)
