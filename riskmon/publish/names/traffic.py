"""What was read from the source, and whether it answers."""

from __future__ import annotations

from riskmon.publish.names.metric import OUTCOME, REASON, Metric

PROMPTS_CONSUMED = Metric(
    "riskmon_prompts_consumed_total",
    "counter",
    "messages",
    "Messages read from the source, rejected ones included.",
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
DEAD_LETTERS = Metric(
    "riskmon_dead_letters_total",
    "counter",
    "messages",
    "Rejected messages that were to be forwarded, by outcome; absent without a dead-letter topic.",
    (OUTCOME,),
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
    "Unread messages over all partitions; absent while unknown.",
)
KAFKA_LAST_CHECK = Metric(
    "riskmon_kafka_last_check_timestamp_seconds",
    "gauge",
    "seconds",
    "When the source was last checked, as a Unix timestamp; it stands still when the intake is down.",
)
