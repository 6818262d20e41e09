"""Health of the estimate, and the work that it took."""

from __future__ import annotations

from riskmon.publish.names.metric import FLAG, HARM, REASON, Metric

UNCOVERED_HARM_PROBABILITY_UPPER = Metric(
    "riskmon_uncovered_harm_probability_upper",
    "gauge",
    "probability",
    "95% upper bound on the mean probability of harm that no proposal but the target itself reaches, "
    "pooled over all prompts, strata and days in the store.",
    (HARM,),
)
ESTIMATE_ESS_RATIO = Metric(
    "riskmon_estimate_ess_ratio",
    "gauge",
    "ratio",
    "Effective sample size of the weighted harm over draws, mean over the last cycle's prompts with hits.",
    (HARM,),
)
ESTIMATE_KHAT = Metric(
    "riskmon_estimate_khat",
    "gauge",
    "index",
    "Largest Pareto tail index of the weighted harm in the last cycle; above 0.7 errors are understated.",
    (HARM,),
)
ESTIMATE_COVERAGE_GAP_RATIO = Metric(
    "riskmon_estimate_coverage_gap_ratio",
    "gauge",
    "ratio",
    "Share of the last cycle's prompts with harm that the proposals miss.",
    (HARM,),
)
ESTIMATE_FLAGGED = Metric(
    "riskmon_estimate_flagged_prompts",
    "gauge",
    "prompts",
    "Prompts of the last cycle whose estimate carries the flag; one prompt may carry several.",
    (HARM, FLAG),
)
ESTIMATE_WEIGHT_MEAN = Metric(
    "riskmon_estimate_weight_mean",
    "gauge",
    "weight",
    "Mean importance weight of the last cycle; 1 in expectation.",
)
ESTIMATE_PATH_DISCREPANCY = Metric(
    "riskmon_estimate_path_discrepancy_nats",
    "gauge",
    "nats",
    "Largest difference between a decoded and a rescored log-probability in the last cycle.",
)
ESTIMATE_LEFT_OUT = Metric(
    "riskmon_estimate_left_out_prompts",
    "gauge",
    "prompts",
    "Sampled prompts that the device budget of the last cycle left without an estimate.",
)
ESTIMATE_CYCLE_PROMPTS = Metric(
    "riskmon_estimate_cycle_prompts",
    "gauge",
    "prompts",
    "Prompts estimated in the last cycle.",
)
ESTIMATE_LAST_SUCCESS = Metric(
    "riskmon_estimate_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the last successful estimate cycle finished, as a Unix timestamp.",
)
ESTIMATE_DURATION = Metric(
    "riskmon_estimate_duration_seconds",
    "gauge",
    "seconds",
    "Wall time of the last successful estimate cycle.",
)
ESTIMATE_PROMPTS = Metric(
    "riskmon_estimate_prompts_total",
    "counter",
    "prompts",
    "Prompts estimated.",
)
ESTIMATE_FAILURES = Metric(
    "riskmon_estimate_failures_total",
    "counter",
    "prompts",
    "Prompts that could not be estimated, by reason.",
    (REASON,),
)
ESTIMATE_TOKENS = Metric(
    "riskmon_estimate_tokens_total",
    "counter",
    "tokens",
    "Tokens pushed through any model for estimates.",
)
ESTIMATE_DEVICE_SECONDS = Metric(
    "riskmon_estimate_device_seconds_total",
    "counter",
    "seconds",
    "Time that devices worked in estimate cycles, all devices added up: draws and their checks, judges with networks "
    "here, plans, responses of production, prompts that failed.",
)
ESTIMATE_PAUSED_SECONDS = Metric(
    "riskmon_estimate_paused_seconds_total",
    "counter",
    "seconds",
    "Time that devices rested in estimate cycles because others needed the GPU, all devices added up.",
)
JUDGE_VERDICTS = Metric(
    "riskmon_judge_verdicts_total",
    "counter",
    "outputs",
    "Drawn answers that the judge of a harm was asked about.",
    (HARM,),
)
JUDGE_UNREADABLE_VERDICTS = Metric(
    "riskmon_judge_unreadable_verdicts_total",
    "counter",
    "outputs",
    "Drawn answers on which the judge of a harm gave no readable verdict, as when it cannot be reached.",
    (HARM,),
)
WORKER_RESTARTS = Metric(
    "riskmon_worker_restarts_total",
    "counter",
    "restarts",
    "Times that the device worker, or one of its Ray actors, was lost and had to be started anew, by reason: died, "
    "deadline or failed.",
    (REASON,),
)
