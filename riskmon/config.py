"""Every setting of riskmon, once: name, default, unit, meaning.

A YAML file is read, `RISKMON_*` environment variables override it (`RISKMON_PUBLISH__LISTEN=0.0.0.0:9108`), the
result is checked and frozen. Unknown keys are refused with the nearest known one. Relative paths are taken from the
folder of the file. docs/configuration.md and the command line read their texts from here.
"""

from __future__ import annotations

import re
import typing
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from riskmon.errors import ConfigError

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _parse_duration(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", value.strip())):
        return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
    if isinstance(value, timedelta):
        return value
    raise ValueError("a duration is a number and a unit of ms, s, m, h or d, such as 30m")


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("a duration must be longer than zero")
    return value


def _check_cron(value: str) -> str:
    from apscheduler.triggers.cron import CronTrigger

    try:
        CronTrigger.from_crontab(value)
    except ValueError as exc:
        raise ValueError(f"not a crontab of five fields ({exc})") from exc
    return value


def _check_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as exc:
        raise ValueError(f"not a regular expression ({exc})") from exc
    return value


def _check_jmespath(value: str) -> str:
    import jmespath

    try:
        jmespath.compile(value)
    except jmespath.exceptions.JMESPathError as exc:
        raise ValueError(f"not a JMESPath expression: {value!r}") from exc
    return value


Duration = Annotated[timedelta, BeforeValidator(_parse_duration), AfterValidator(_positive)]
Cron = Annotated[str, AfterValidator(_check_cron)]
FieldPath = Annotated[str, AfterValidator(_check_jmespath)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Listen = Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):\d{1,5}$")]


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


# ---- model


class SamplerConfig(Section):
    """The deployed sampler; the estimate is about this sampler and no other."""

    temperature: float = Field(1.0, gt=0, description="softmax temperature of the deployment")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus mass; 1 keeps all")
    top_k: int = Field(0, ge=0, description="tokens kept by rank; 0 keeps all")
    min_p: float = Field(
        0.0, ge=0, lt=1, description="smallest probability kept, relative to the best; 0 keeps all"
    )


class ModelConfig(Section):
    """The deployed model, as it is deployed."""

    target: str = Field(description="folder or hub id of the deployed model")
    revision: str | None = Field(None, description="commit of the hub id; pin it in production")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="type of the weights"
    )
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto takes a GPU where there is one"
    )
    max_new_tokens: int = Field(150, ge=1, description="token cap T of an answer; harm is measured within it")
    batch_rows: int = Field(
        0, ge=0, description="rows decoded at once; 0 decodes all draws of a prompt together"
    )
    sampler: SamplerConfig = Field(SamplerConfig(), description="the deployed sampler")
    chat_template: Literal["auto", "none"] = Field(
        "auto", description="auto uses the tokenizer's template; none takes the prompt text as it stands"
    )


# ---- experts


class LoraExpert(Section):
    """The target with an adapter."""

    name: Name = Field(description="short name, used in logs and in the store")
    kind: Literal["lora"]
    path: Path = Field(description="folder of a PEFT adapter (safetensors)")


class CheckpointExpert(Section):
    """Another model over the same vocabulary."""

    name: Name = Field(description="short name, used in logs and in the store")
    kind: Literal["checkpoint"]
    path: str = Field(description="folder or hub id of a model with the target's vocabulary")
    revision: str | None = Field(None, description="commit of the hub id")


class SystemPromptExpert(Section):
    """The target under another context."""

    name: Name = Field(description="short name, used in logs and in the store")
    kind: Literal["system_prompt"]
    text: str = Field(min_length=1, description="system message put before the prompt")


ExpertConfig = Annotated[LoraExpert | CheckpointExpert | SystemPromptExpert, Field(discriminator="kind")]


# ---- harms


class _Judge(Section):
    threshold: float = Field(0.5, gt=0, le=1, description="scores at or above it count as harmful")


class RegexJudge(_Judge):
    """Harm is a pattern in the answer: score 1 on a match, else 0."""

    kind: Literal["regex"]
    pattern: Annotated[str, AfterValidator(_check_pattern)] = Field(
        description="Python regular expression, searched"
    )
    ignore_case: bool = Field(True, description="whether case is ignored")


class ToxicityJudge(_Judge):
    """Toxic language, by the packaged linear classifier alt-profanity-check; a demonstration, not a safety judge."""

    kind: Literal["toxicity"]


JudgeConfig = Annotated[RegexJudge | ToxicityJudge, Field(discriminator="kind")]


class HarmConfig(Section):
    """What counts as harm; every harm is an event over the same draws."""

    name: Name = Field(description="value of the label `harm`")
    judge: JudgeConfig = Field(description="how an answer is scored")
    threshold: float | None = Field(None, gt=0, le=1, description="overrides the judge's threshold")
    budget_daily: float | None = Field(None, gt=0, description="harmful outputs per day that are tolerated")

    @property
    def cut(self) -> float:
        """The threshold in force."""
        return self.judge.threshold if self.threshold is None else self.threshold


# ---- estimate


class EstimateConfig(Section):
    """How much is drawn, from where, and when."""

    samples_per_prompt: int = Field(500, ge=4, description="draws per prompt, over all proposals")
    defensive_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="share drawn from the target itself; it bounds every weight by its inverse",
    )
    windows: tuple[tuple[int, int | None], ...] = Field(
        ((0, 4), (0, 16), (0, None)),
        min_length=1,
        description="token windows [from, to) in which an expert speaks, the target speaks outside; null is the end",
    )
    device_budget: Duration = Field(timedelta(minutes=30), description="device time of one cycle")
    deadline: Duration = Field(
        timedelta(hours=1), description="wall time of one cycle; beyond it the device worker is killed"
    )
    schedule: Cron = Field("0 */4 * * *", description="crontab of the estimate cycle, UTC")
    seed: int = Field(0, ge=0, description="root of every prompt's random stream")
    truncated_share: float = Field(
        0.5, gt=0, le=1, description="share of draws cut at the token cap above which TRUNCATED is raised"
    )
    path_tolerance: float = Field(
        0.05,
        gt=0,
        description="largest log-prob difference between decoding and rescoring before PATH_MISMATCH",
    )

    @model_validator(mode="after")
    def _values_fit_together(self) -> EstimateConfig:
        if self.deadline < self.device_budget:
            raise ValueError("deadline must not be shorter than device_budget")
        for start, stop in self.windows:
            if start < 0 or (stop is not None and stop <= start):
                raise ValueError(f"window [{start}, {stop}] must have 0 <= from < to")
        return self


# ---- traffic


# `harm` is the metrics' own; Prometheus sets or reads the others itself.
_RESERVED_LABELS = frozenset({"harm", "instance", "job", "le", "quantile"})


class KafkaSecurity(Section):
    """How the broker is reached."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="security protocol of the listener"
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="SASL mechanism, with a SASL protocol"
    )
    username: str | None = Field(None, description="SASL user")
    password: SecretStr | None = Field(None, description="SASL password; better given by the environment")
    ca_file: Path | None = Field(None, description="certificate authority, PEM")
    cert_file: Path | None = Field(None, description="client certificate, PEM")
    key_file: Path | None = Field(None, description="client key, PEM")

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> KafkaSecurity:
        if self.protocol.startswith("SASL") and not (self.mechanism and self.username and self.password):
            raise ValueError(f"protocol {self.protocol} needs mechanism, username and password")
        return self


class KafkaConfig(Section):
    """The topic that carries production prompts."""

    bootstrap_servers: tuple[str, ...] = Field(min_length=1, description="host:port of one or more brokers")
    topic: str = Field(min_length=1, description="topic of production prompts")
    group_id: str = Field(
        "riskmon", min_length=1, description="group under which offsets are shown to lag tools"
    )
    start: Literal["earliest", "latest"] = Field(
        "latest", description="where a partition without a stored offset begins"
    )
    security: KafkaSecurity = Field(KafkaSecurity(), description="how the broker is reached")


class FieldsConfig(Section):
    """JMESPath of each fact in a message."""

    id: FieldPath = Field("id", description="unique id of the request")
    prompt: FieldPath = Field("prompt", description="plain prompt text")
    messages: FieldPath = Field("messages", description="chat messages, each with role and content")
    timestamp: FieldPath = Field(
        "timestamp", description="RFC 3339, or epoch in s or ms; absent, the broker's time counts"
    )
    response: FieldPath = Field(
        "response", description="the deployed model's answer, where the stream carries it"
    )


class TrafficConfig(Section):
    """Where prompts come from, how they are counted and sampled."""

    kafka: KafkaConfig | None = Field(None, description="read from Kafka")
    jsonl: Path | None = Field(None, description="read from a file of JSON lines instead")
    fields: FieldsConfig = Field(FieldsConfig(), description="JMESPath of each fact in a message")
    strata: tuple[FieldPath, ...] = Field(
        (),
        max_length=4,
        description="JMESPath of the labels that split the traffic; the last name is the label",
    )
    max_strata: int = Field(
        50, ge=1, le=1000, description="strata kept apart; traffic beyond goes to `other`"
    )
    window: Duration = Field(timedelta(hours=1), description="length of a counting window")
    sample_per_window: int = Field(200, ge=1, description="prompts kept per window and stratum")
    sample_key: SecretStr = Field(
        SecretStr("riskmon"),
        description="key of the sampling hash; secret, so that no sender can dodge the sample",
    )
    flush_interval: Duration = Field(timedelta(seconds=1), description="longest time counts stay in memory")
    max_message_bytes: int = Field(
        1_000_000, ge=1, description="larger messages are rejected, counted as oversized"
    )

    @model_validator(mode="after")
    def _one_source(self) -> TrafficConfig:
        if (self.kafka is None) == (self.jsonl is None):
            raise ValueError("give exactly one of kafka and jsonl")
        return self

    @model_validator(mode="after")
    def _labels_differ(self) -> TrafficConfig:
        labels = [stratum_label(path) for path in self.strata]
        if len(set(labels)) != len(labels) or _RESERVED_LABELS.intersection(labels):
            raise ValueError(
                f"strata give the labels {labels}: each must be unique, and none of {sorted(_RESERVED_LABELS)}"
            )
        return self


def stratum_label(path: str) -> str:
    """Label name of a stratum path: its last part, made fit for Prometheus (`attributes.route` -> `route`)."""
    last = re.sub(r"[^a-zA-Z0-9_]", "_", path.rsplit(".", 1)[-1].strip('"')).strip("_")
    return last if last and not last[0].isdigit() else f"label_{last}"


# ---- forecast and after


class ForecastConfig(Section):
    """From prompts to a day."""

    schedule: Cron = Field("*/5 * * * *", description="crontab of the forecast, UTC")
    lookback: Duration = Field(timedelta(hours=24), description="traffic and estimates of this span count")
    draws: int = Field(4000, ge=200, description="Monte Carlo draws behind the interval")


class PublishConfig(Section):
    """Where the metrics and the page are served."""

    listen: Listen = Field(
        "127.0.0.1:9108", description="host:port of the HTTP server; port 0 takes a free one"
    )


class StoreConfig(Section):
    """The database."""

    url: str = Field(
        "sqlite:///riskmon.db", description="SQLAlchemy URL: SQLite or PostgreSQL (postgresql+psycopg://)"
    )
    retention: Duration = Field(
        timedelta(days=7), description="prompts, estimates and counts older than this are purged"
    )


class LoggingConfig(Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="least severe level written"
    )
    format: Literal["console", "json"] = Field(
        "console", description="console for people, json for collectors"
    )


class Config(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        env_prefix="RISKMON_",
        env_nested_delimiter="__",
        hide_input_in_errors=True,
    )

    model: ModelConfig = Field(description="the deployed model")
    experts: tuple[ExpertConfig, ...] = Field(
        (), description="unsafe variants; the target itself is always there"
    )
    harms: tuple[HarmConfig, ...] = Field((), description="what counts as harm; the same draws serve all")
    judge: JudgeConfig | None = Field(None, description="short for one harm named `harmful`")
    estimate: EstimateConfig = Field(EstimateConfig(), description="how much is drawn, from where, and when")
    traffic: TrafficConfig | None = Field(None, description="where prompts come from; `riskmon run` needs it")
    forecast: ForecastConfig = Field(ForecastConfig(), description="from prompts to a day")
    publish: PublishConfig = Field(PublishConfig(), description="where the metrics and the page are served")
    store: StoreConfig = Field(StoreConfig(), description="the database")
    logging: LoggingConfig = Field(LoggingConfig(), description="what is written to standard error")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _sections_fit_together(self) -> Config:
        if bool(self.harms) == (self.judge is not None):
            raise ValueError("give either harms (a list) or judge (one harm), not both and not neither")
        for what, names in (
            ("experts", [e.name for e in self.experts]),
            ("harms", [h.name for h in self.harms]),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"{what} must have distinct names, found {names}")
        if self.traffic is not None and self.store.retention < self.forecast.lookback + self.traffic.window:
            raise ValueError("store.retention must cover forecast.lookback and one traffic.window")
        if any(expert.name == "target" for expert in self.experts):
            raise ValueError("an expert may not be named 'target': that is the deployed model itself")
        return self

    @property
    def all_harms(self) -> tuple[HarmConfig, ...]:
        """The harms, with `judge` spelled out."""
        return self.harms or (HarmConfig(name="harmful", judge=typing.cast(Any, self.judge)),)

    def require_traffic(self, command: str) -> TrafficConfig:
        """The traffic section, or a `ConfigError` that says which command needs it."""
        if self.traffic is None:
            raise ConfigError(f"'riskmon {command}' needs the section 'traffic' (with 'kafka' or 'jsonl')")
        return self.traffic
