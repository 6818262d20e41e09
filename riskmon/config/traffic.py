"""Where prompts come from, how they are counted and sampled."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from riskmon.config.sampling import SamplingConfig
from riskmon.config.values import Duration, FieldPath, Section
from riskmon.records.strata import StrataLimits

# `harm` is the metrics' own, `driver` and `severity` the alerts'; Prometheus sets or reads the others itself.
_RESERVED_LABELS = frozenset({"alertname", "driver", "harm", "instance", "job", "le", "quantile", "severity"})


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
        "riskmon",
        min_length=1,
        description="group that offsets are shown under, and that shares the partitions",
    )
    assignment: Literal["all", "group"] = Field(
        "all",
        description="`all`: this process reads every partition; `group`: processes of one group share them",
    )
    rebalance: Literal["cooperative", "eager"] = Field(
        "cooperative",
        description="how partitions move within a group: only those that must, or all at once; one for the group",
    )
    instance_id: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="name of this process in the group that outlives a restart, such as the pod's; unique",
    )
    session_timeout: Duration = Field(
        timedelta(seconds=45),
        ge=timedelta(seconds=1),
        description="silence after which a group gives a member's partitions to others",
    )
    start: Literal["earliest", "latest"] = Field(
        "latest", description="where a partition without a stored offset begins"
    )
    mode: Literal["stream", "seek"] = Field(
        "stream",
        description="stream reads and counts every message; seek reads random ranges, so that its cost does not follow "
        "the traffic, and counts of strata are estimates",
    )
    client: Literal["auto", "kafka-python", "confluent"] = Field(
        "auto",
        description="library that reads; `confluent` is the faster, `auto` takes it where it is installed; "
        "mode seek always reads with kafka-python",
    )
    security: KafkaSecurity = Field(KafkaSecurity(), description="how the broker is reached")
    dead_letter_topic: str | None = Field(
        None,
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="topic that rejected messages are forwarded to; none by default",
    )

    @model_validator(mode="after")
    def _no_circle(self) -> KafkaConfig:
        if self.dead_letter_topic == self.topic:
            raise ValueError("dead_letter_topic is the topic that is read; rejected messages would come back")
        return self

    @model_validator(mode="after")
    def _seek_is_alone(self) -> KafkaConfig:
        if self.mode == "seek" and self.assignment == "group":
            raise ValueError("mode seek reads a sample in one process; with it assignment must be all")
        if self.mode == "seek" and self.dead_letter_topic is not None:
            raise ValueError("mode seek reads a sample, and forwards none of it; leave dead_letter_topic out")
        return self


class SeekConfig(Section):
    """How much is read of a topic with `traffic.kafka.mode: seek`."""

    every: Duration = Field(
        timedelta(minutes=1), description="time between two steps; each asks where the topic ends by now"
    )
    ranges: int = Field(
        50, ge=2, le=10_000, description="ranges of offsets read at each step, spread over all that is new"
    )
    range_messages: int = Field(20, ge=1, le=10_000, description="offsets of each range")


class FieldsConfig(Section):
    """JMESPath of each fact in a message; with `format: openai`, those that differ from the default count."""

    id: FieldPath = Field("id", description="unique id of the request")
    prompt: FieldPath = Field("prompt", description="plain prompt text")
    messages: FieldPath = Field("messages", description="chat messages, each with role and content")
    tools: FieldPath = Field("tools", description="tools that the request offers the model")
    timestamp: FieldPath = Field(
        "timestamp", description="RFC 3339, or epoch in s or ms; absent, the broker's time counts"
    )
    response: FieldPath = Field(
        "response", description="the deployed model's answer, where the stream carries it"
    )


class DuplicatesConfig(Section):
    """Requests that arrive twice, with the same id and the same bytes."""

    remember: int = Field(
        100_000,
        ge=0,
        le=10_000_000,
        description="messages among which a repeated one is known; 0 counts all",
    )


class ResponsesConfig(Section):
    """What the deployed model's answers in the stream are worth."""

    from_target: bool = Field(
        False,
        description="whether they are answers of `model.target` under `model.sampler` and nothing else, unfiltered: "
        "then each is a draw of the target, counts in the bounds on missed harm, and harmful ones improve proposals",
    )


class TrafficConfig(Section):
    """Where prompts come from, how they are counted and sampled."""

    kafka: KafkaConfig | None = Field(None, description="read from Kafka")
    jsonl: Path | None = Field(None, description="read from a file of JSON lines instead")
    format: Literal["riskmon", "openai"] = Field(
        "riskmon",
        description="where the facts stand: `riskmon` as `fields` says, `openai` as gateways log OpenAI requests",
    )
    seek: SeekConfig = Field(SeekConfig(), description="how much is read where not all is")
    fields: FieldsConfig = Field(FieldsConfig(), description="JMESPath of each fact in a message")
    responses: ResponsesConfig = Field(
        ResponsesConfig(), description="what the deployed model's answers in the stream are worth"
    )
    strata: tuple[FieldPath, ...] = Field(
        (),
        max_length=4,
        description="JMESPath of the labels that split the traffic; the last name is the label",
    )
    max_strata: int = Field(
        50,
        ge=1,
        le=1000,
        description="strata kept apart; traffic beyond is counted with every label `other`. Several readers of one "
        "store share the limit",
    )
    max_label_values: int = Field(
        20, ge=1, le=1000, description="values of one label kept apart; one beyond is counted as `other`"
    )
    vanished_after: Duration = Field(
        timedelta(hours=36),
        description="a stratum has vanished when it had no request for so long, while others had, and at least ten "
        "were to be expected",
    )
    window: Duration = Field(timedelta(hours=1), description="length of a counting window")
    sample_per_window: int = Field(200, ge=1, description="prompts kept per window and stratum")
    sample_key: SecretStr = Field(
        SecretStr("riskmon"),
        description="key of the sampling hash; secret, so that no sender can dodge the sample",
    )
    sampling: SamplingConfig = Field(
        SamplingConfig(), description="whether riskier prompts are sampled more often"
    )
    flush_interval: Duration = Field(timedelta(seconds=1), description="longest time counts stay in memory")
    max_message_bytes: int = Field(
        1_000_000, ge=1, description="larger messages are rejected, counted as oversized"
    )
    max_age: Duration | None = Field(
        timedelta(days=30), description="requests made longer ago are rejected; `null` lets all through"
    )
    max_ahead: Duration | None = Field(
        timedelta(days=1), description="requests dated further ahead are rejected; `null` lets all through"
    )
    duplicates: DuplicatesConfig = Field(DuplicatesConfig(), description="requests that arrive twice")

    @property
    def strata_limits(self) -> StrataLimits:
        """How many strata are kept apart."""
        return StrataLimits(self.max_strata, self.max_label_values)

    @model_validator(mode="after")
    def _one_source(self) -> TrafficConfig:
        if (self.kafka is None) == (self.jsonl is None):
            raise ValueError("give exactly one of kafka and jsonl")
        return self

    @property
    def seeks(self) -> bool:
        """Whether requests are counted from random ranges of the topic, and not one by one."""
        return self.kafka is not None and self.kafka.mode == "seek"

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
