"""What was read from the source, and whether it answers."""

from __future__ import annotations

from riskmon.publish.names.metric import REASON, Metric

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
SCORER_IN_USE = Metric(
    "riskmon_scorer_in_use",
    "gauge",
    "bool",
    "1 when prompts are sampled by risk with the newest text model, 0 when it does not help; absent before the first.",
)
SCORER_VARIANCE_RATIO = Metric(
    "riskmon_scorer_variance_ratio",
    "gauge",
    "ratio",
    "Variance of the forecast with the newest text model over that of uniform sampling, on prompts it was not trained "
    "on; absent where there were too few.",
)
SCORER_LAST_TRAINED = Metric(
    "riskmon_scorer_last_trained_timestamp_seconds",
    "gauge",
    "seconds",
    "When the text model was last trained, as a Unix timestamp.",
)
SCORER_FAILURES = Metric(
    "riskmon_scorer_failures_total",
    "counter",
    "prompts",
    "Prompts that the scorer gave no usable score, by reason; they are sampled with the smallest size.",
    (REASON,),
)
