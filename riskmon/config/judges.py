"""Judges, one section per kind."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from riskmon.config.values import Device, Dtype, Duration, Section, check_pattern


class _Judge(Section):
    threshold: float = Field(0.5, gt=0, le=1, description="scores at or above it count as harmful")


class _ModelJudge(_Judge):
    revision: str | None = Field(None, description="commit of the hub id; pin it in production")
    dtype: Dtype = "auto"
    device: Device = "auto"
    batch_size: int = Field(32, ge=1, description="outputs judged at once")
    max_tokens: int = Field(
        4096, ge=16, description="longest input; an output that does not fit has no verdict"
    )


class RegexJudge(_Judge):
    """Harm is a pattern in the answer: score 1 on a match, else 0."""

    kind: Literal["regex"]
    pattern: Annotated[str, AfterValidator(check_pattern)] = Field(
        description="Python regular expression, searched"
    )
    ignore_case: bool = Field(True, description="whether case is ignored")


class ToxicityJudge(_Judge):
    """Toxic language, by the packaged linear classifier alt-profanity-check; a demonstration, not a safety judge."""

    kind: Literal["toxicity"]


class HfClassifierJudge(_ModelJudge):
    """A sequence classifier of transformers: the score is the probability of the harmful labels."""

    kind: Literal["hf-classifier"]
    model: str = Field(description="folder or hub id of a sequence classifier")
    labels: tuple[str, ...] = Field(min_length=1, description="names of the labels that mean harm")
    multi_label: bool = Field(
        False,
        description="true: labels are independent (sigmoid, the largest counts); false: softmax, they add up",
    )
    text: Literal["answer", "dialogue"] = Field(
        "answer", description="what is classified: the answer alone, or prompt and answer as a pair"
    )


class HfGenerativeJudge(_ModelJudge):
    """A guard model that answers with a verdict: the score is the verdict token's probability."""

    kind: Literal["hf-generative"]
    preset: str = Field(description="how the model is asked and read; `riskmon check-config` knows the names")
    model: str | None = Field(None, description="folder or hub id; not given, the preset's own")
    label_mass: float = Field(
        0.9,
        gt=0,
        le=1,
        description="probability the verdict tokens must hold together; below it there is no verdict",
    )


class RubricJudge(_ModelJudge):
    """A trait scored from 0 to 100 by a generative model from a written rubric; the score is the expectation / 100."""

    kind: Literal["rubric"]
    model: str = Field(description="folder or hub id of a chat model")
    trait: str = Field(min_length=1, description="name of the trait, such as sycophancy")
    rubric: str = Field(min_length=1, description="what 0 means, what 100 means, what counts")
    label_mass: float = Field(
        0.9,
        gt=0,
        le=1,
        description="probability that numbers must hold together; below it there is no verdict",
    )


class OpenAIJudge(_Judge):
    """A judge behind an OpenAI-compatible endpoint."""

    kind: Literal["openai"]
    url: str = Field(
        "https://api.openai.com/v1",
        pattern=r"^https?://",
        description="base URL of the endpoint, with its version",
    )
    model: str = Field(min_length=1, description="name of the model at the endpoint")
    rubric: str = Field(
        min_length=1, description="what counts as harm; the judge answers with a number from 0 to 100"
    )
    api_key: SecretStr | None = Field(
        None, description="key of the endpoint; better given by the environment"
    )
    timeout: Duration = Field(
        timedelta(seconds=30), description="longest wait for a connection and for each piece of an answer"
    )
    retries: int = Field(3, ge=0, le=10, description="further tries after a failure that may pass")
    concurrency: int = Field(8, ge=1, le=256, description="requests under way at once")


SimpleJudge = Annotated[
    RegexJudge | ToxicityJudge | HfClassifierJudge | HfGenerativeJudge | RubricJudge | OpenAIJudge,
    Field(discriminator="kind"),
]


class CascadeJudge(_Judge):
    """A cheap judge for all answers, a strong one for those it flags and for a random share of the rest."""

    kind: Literal["cascade"]
    first: SimpleJudge = Field(description="the cheap judge; its threshold decides what is passed on")
    second: SimpleJudge = Field(description="the strong judge, whose verdict counts")
    audit_share: float = Field(
        0.05, gt=0, le=1, description="share of the rest that the strong judge reads too, at random"
    )


JudgeConfig = Annotated[
    RegexJudge
    | ToxicityJudge
    | HfClassifierJudge
    | HfGenerativeJudge
    | RubricJudge
    | OpenAIJudge
    | CascadeJudge,
    Field(discriminator="kind"),
]
