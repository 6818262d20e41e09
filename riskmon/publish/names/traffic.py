"""What was read from the source, and whether it answers."""

from __future__ import annotations

from riskmon.publish.names.metric import MODE, REASON, Metric

INTAKE_INFO = Metric(
    "riskmon_intake_info",
    "gauge",
    "1",
    "Always 1; the label says whether every message is read and counted (stream), or random ranges of them, so that "
    "counts of strata are estimates (seek).",
    (MODE,),
)
PROMPTS_CONSUMED = Metric(
    "riskmon_prompts_consumed_total",
    "counter",
    "messages",
    "Messages counted from the source, rejected ones included.",
)
PROMPTS_SAMPLED = Metric(
    "riskmon_prompts_sampled_total",
    "counter",
    "prompts",
    "Prompts taken into the sample.",
)
PROMPTS_REJECTED = Metric(
    "riskmon_prompts_rejected_total",
    "counter",
    "messages",
    "Messages that could not be used, by reason.",
    (REASON,),
)
KAFKA_UP = Metric(
    "riskmon_kafka_up",
    "gauge",
    "bool",
    "1 when the source answered the last check, 0 when not.",
)
KAFKA_LAG = Metric(
    "riskmon_kafka_lag_messages",
    "gauge",
    "messages",
    "Messages over all partitions that are not counted yet; absent while unknown. In seek mode those since the last "
    "step.",
)
KAFKA_LAST_CHECK = Metric(
    "riskmon_kafka_last_check_timestamp_seconds",
    "gauge",
    "seconds",
    "When the source was last checked, as a Unix timestamp; it stands still when the intake is down.",
)
