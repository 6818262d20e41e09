"""What was read from the source, and whether it answers."""

from __future__ import annotations

from riskmon.publish.names.metric import CHANGE, MODE, OUTCOME, REASON, Metric

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
DEAD_LETTERS = Metric(
    "riskmon_dead_letters_total",
    "counter",
    "messages",
    "Rejected messages that were to be forwarded, by outcome; absent without a dead-letter topic.",
    (OUTCOME,),
)
STRATA = Metric(
    "riskmon_strata",
    "gauge",
    "strata",
    "Strata that are kept apart, `other` not counted; no more than traffic.max_strata.",
)
VANISHED_STRATA = Metric(
    "riskmon_vanished_strata",
    "gauge",
    "strata",
    "Strata that had traffic, have vanished and not come back, until their counts are beyond the forecast's history.",
)
STRATUM_CHANGES = Metric(
    "riskmon_stratum_changes_total",
    "counter",
    "events",
    "Strata that came or went, by what happened: appeared, capped (a limit sends traffic to `other`), vanished, "
    "reappeared.",
    (CHANGE,),
)
KAFKA_UP = Metric(
    "riskmon_kafka_up",
    "gauge",
    "bool",
    "1 when every process that reads the source reaches it, 0 when one does not or none is left.",
)
KAFKA_READERS = Metric(
    "riskmon_kafka_readers",
    "gauge",
    "processes",
    "Processes that read the source; one that has said nothing for a minute counts no longer.",
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
    "When the source was last checked, as a Unix timestamp; it stands still when nothing reads it.",
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
