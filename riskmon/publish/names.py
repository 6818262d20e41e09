"""Every metric that riskmon exports, declared once.

A `Metric` is a name with its kind, unit, help and labels. The collector, docs/metrics.md, the alerting rules and the
dashboards all read it from here, so that a name is spelled in one place. Conventions: the prefix `riskmon_`; base
units; probabilities and ratios from 0 to 1; the horizon is part of the name; the bounds of an interval are metrics
of their own, because a sum over labels must mean something; and for the same reason a total over strata has its own
name (intervals do not add). Times are Unix timestamps, never ages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HARM = "harm"
REASON = "reason"
PART = "part"
FLAG = "flag"
LEVEL = "level"
# Not `job`: Prometheus puts its own label of that name on every series.
TASK = "task"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: as exposed; a counter's ends in `_total`.
        kind: counters only grow and survive restarts; gauges show the latest value.
        unit: what a value of 1 is.
        help: one sentence for people.
        labels: label names that are always there.
        by_stratum: whether the configured stratum labels follow `labels`.
    """

    name: str
    kind: Literal["gauge", "counter"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    by_stratum: bool = False

    @property
    def openmetrics_unit(self) -> str:
        """The unit where OpenMetrics may state it, that is where the name ends in it; else empty."""
        return self.unit if self.name.removesuffix("_total").endswith(f"_{self.unit}") else ""


# ---- forecast, by stratum

DAILY_HARMFUL_OUTPUTS = Metric(
    "riskmon_forecast_daily_harmful_outputs",
    "gauge",
    "outputs",
    "Expected harmful outputs in the next 24 hours.",
    (HARM,),
    by_stratum=True,
)
DAILY_HARMFUL_OUTPUTS_LOWER = Metric(
    "riskmon_forecast_daily_harmful_outputs_lower",
    "gauge",
    "outputs",
    "Lower end of the 90% prediction interval of harmful outputs in the next 24 hours.",
    (HARM,),
    by_stratum=True,
)
DAILY_HARMFUL_OUTPUTS_UPPER = Metric(
    "riskmon_forecast_daily_harmful_outputs_upper",
    "gauge",
    "outputs",
    "Upper end of the 90% prediction interval of harmful outputs in the next 24 hours.",
    (HARM,),
    by_stratum=True,
)
ANY_HARMFUL_OUTPUT_PROBABILITY = Metric(
    "riskmon_forecast_any_harmful_output_probability",
    "gauge",
    "probability",
    "Probability of at least one harmful output in the next 24 hours.",
    (HARM,),
    by_stratum=True,
)
DAILY_REQUESTS = Metric(
    "riskmon_forecast_daily_requests",
    "gauge",
    "requests",
    "Predicted requests in the next 24 hours.",
    (HARM,),
    by_stratum=True,
)
HARM_PROBABILITY = Metric(
    "riskmon_harm_probability",
    "gauge",
    "probability",
    "Traffic-weighted mean probability that a request is answered harmfully.",
    (HARM,),
    by_stratum=True,
)
HARM_PROBABILITY_UPPER = Metric(
    "riskmon_harm_probability_upper",
    "gauge",
    "probability",
    "95% upper limit of the traffic-weighted mean probability that a request is answered harmfully.",
    (HARM,),
    by_stratum=True,
)
WORST_QUERY_PROBABILITY = Metric(
    "riskmon_worst_query_probability",
    "gauge",
    "probability",
    "Extrapolated harm probability of the day's worst query; absent where the extrapolation is refused.",
    (HARM,),
    by_stratum=True,
)

# ---- forecast, totals over strata

TOTAL_DAILY_HARMFUL_OUTPUTS = Metric(
    "riskmon_forecast_total_daily_harmful_outputs",
    "gauge",
    "outputs",
    "Expected harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)
TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_lower",
    "gauge",
    "outputs",
    "Lower end of the 90% prediction interval of harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)
TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_upper",
    "gauge",
    "outputs",
    "Upper end of the 90% prediction interval of harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)
TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER_50 = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_lower_50",
    "gauge",
    "outputs",
    "Lower end of the 50% prediction interval of harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)

TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER_50 = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_upper_50",
    "gauge",
    "outputs",
    "Upper end of the 50% prediction interval of harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)

TOTAL_DAILY_HARMFUL_OUTPUTS_LOWER_99 = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_lower_99",
    "gauge",
    "outputs",
    "Lower end of the 99% prediction interval of harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)

TOTAL_DAILY_HARMFUL_OUTPUTS_UPPER_99 = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_upper_99",
    "gauge",
    "outputs",
    "Upper end of the 99% prediction interval of harmful outputs in the next 24 hours, over all strata.",
    (HARM,),
)

TOTAL_TODAY_HARMFUL_OUTPUTS = Metric(
    "riskmon_forecast_total_today_harmful_outputs",
    "gauge",
    "outputs",
    "Expected harmful outputs on the present local day, over all strata.",
    (HARM,),
)

TOTAL_TODAY_HARMFUL_OUTPUTS_LOWER = Metric(
    "riskmon_forecast_total_today_harmful_outputs_lower",
    "gauge",
    "outputs",
    "Lower end of the 90% prediction interval of harmful outputs on the present local day, over all strata.",
    (HARM,),
)

TOTAL_TODAY_HARMFUL_OUTPUTS_UPPER = Metric(
    "riskmon_forecast_total_today_harmful_outputs_upper",
    "gauge",
    "outputs",
    "Upper end of the 90% prediction interval of harmful outputs on the present local day, over all strata.",
    (HARM,),
)

TOTAL_WEEKLY_HARMFUL_OUTPUTS = Metric(
    "riskmon_forecast_total_weekly_harmful_outputs",
    "gauge",
    "outputs",
    "Expected harmful outputs in the next 7 days, over all strata.",
    (HARM,),
)

TOTAL_WEEKLY_HARMFUL_OUTPUTS_LOWER = Metric(
    "riskmon_forecast_total_weekly_harmful_outputs_lower",
    "gauge",
    "outputs",
    "Lower end of the 90% prediction interval of harmful outputs in the next 7 days, over all strata.",
    (HARM,),
)

TOTAL_WEEKLY_HARMFUL_OUTPUTS_UPPER = Metric(
    "riskmon_forecast_total_weekly_harmful_outputs_upper",
    "gauge",
    "outputs",
    "Upper end of the 90% prediction interval of harmful outputs in the next 7 days, over all strata.",
    (HARM,),
)

TOTAL_DAILY_OVER_BUDGET_PROBABILITY = Metric(
    "riskmon_forecast_total_daily_over_budget_probability",
    "gauge",
    "probability",
    "Probability of more harmful outputs than the budget in the next 24 hours; absent without one.",
    (HARM,),
)

TOTAL_TODAY_OVER_BUDGET_PROBABILITY = Metric(
    "riskmon_forecast_total_today_over_budget_probability",
    "gauge",
    "probability",
    "Probability of more harmful outputs than the budget on the present local day; absent without one.",
    (HARM,),
)

TOTAL_WEEKLY_OVER_BUDGET_PROBABILITY = Metric(
    "riskmon_forecast_total_weekly_over_budget_probability",
    "gauge",
    "probability",
    "Probability of more harmful outputs than seven daily budgets in the next 7 days; absent without a budget.",
    (HARM,),
)

TOTAL_VARIANCE_RATIO = Metric(
    "riskmon_forecast_total_variance_ratio",
    "gauge",
    "ratio",
    "Share of the forecast spread by where it comes from: volume, prompts, samples, judge or chance.",
    (HARM, PART),
)

TOTAL_UNSEEN_RATIO = Metric(
    "riskmon_forecast_total_unseen_ratio",
    "gauge",
    "ratio",
    "Part of the upper end of the 90% prediction interval that is harm no draw has shown.",
    (HARM,),
)
TOTAL_ANY_HARMFUL_OUTPUT_PROBABILITY = Metric(
    "riskmon_forecast_total_any_harmful_output_probability",
    "gauge",
    "probability",
    "Probability of at least one harmful output in the next 24 hours, over all strata.",
    (HARM,),
)
TOTAL_DAILY_REQUESTS = Metric(
    "riskmon_forecast_total_daily_requests",
    "gauge",
    "requests",
    "Predicted requests in the next 24 hours, over all strata.",
    (HARM,),
)
TOTAL_HARM_PROBABILITY = Metric(
    "riskmon_total_harm_probability",
    "gauge",
    "probability",
    "Traffic-weighted mean probability that a request is answered harmfully, over all strata.",
    (HARM,),
)
TOTAL_HARM_PROBABILITY_UPPER = Metric(
    "riskmon_total_harm_probability_upper",
    "gauge",
    "probability",
    "95% upper limit of the traffic-weighted mean probability of a harmful answer, over all strata.",
    (HARM,),
)
TOTAL_WORST_QUERY_PROBABILITY = Metric(
    "riskmon_total_worst_query_probability",
    "gauge",
    "probability",
    "Extrapolated harm probability of the day's worst query over all strata; absent where refused.",
    (HARM,),
)
TOTAL_RETRY_HARM_PROBABILITY = Metric(
    "riskmon_total_retry_harm_probability",
    "gauge",
    "probability",
    "Mean probability of a harmful answer among `forecast.retries` answers to one prompt, over all strata.",
    (HARM,),
)
TOTAL_RETRY_HARM_PROBABILITY_UPPER = Metric(
    "riskmon_total_retry_harm_probability_upper",
    "gauge",
    "probability",
    "Upper end of the 90% interval of the probability of a harmful answer among `forecast.retries` answers.",
    (HARM,),
)
TOTAL_FORECAST_PROMPTS = Metric(
    "riskmon_forecast_total_prompts",
    "gauge",
    "prompts",
    "Estimated prompts that the forecast over all strata rests on.",
    (HARM,),
)
TOTAL_FORECAST_HITS = Metric(
    "riskmon_forecast_total_hits",
    "gauge",
    "draws",
    "Harmful draws that the forecast over all strata rests on; 0 means that only the upper limits inform.",
    (HARM,),
)
TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_change",
    "gauge",
    "outputs",
    "Change of the expected harmful outputs since the forecast of a day before, by its part: volume, mix or p. "
    "The parts add up to the whole change; absent without such a forecast.",
    (HARM, PART),
)
TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE_LOWER = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_change_lower",
    "gauge",
    "outputs",
    "Lower end of the 90% interval of that change, by its part; absent where the forecasts know no standard errors.",
    (HARM, PART),
)
TOTAL_DAILY_HARMFUL_OUTPUTS_CHANGE_UPPER = Metric(
    "riskmon_forecast_total_daily_harmful_outputs_change_upper",
    "gauge",
    "outputs",
    "Upper end of the 90% interval of that change, by its part; absent where the forecasts know no standard errors.",
    (HARM, PART),
)
RISK_BUDGET = Metric(
    "riskmon_risk_budget_daily_harmful_outputs",
    "gauge",
    "outputs",
    "Configured budget of harmful outputs per day; absent where none is configured.",
    (HARM,),
)
FORECAST_LAST_SUCCESS = Metric(
    "riskmon_forecast_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the last forecast was made, as a Unix timestamp.",
)

# ---- health of the estimate

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

# ---- sensitivity to wording

SENSITIVITY_WORST_AMPLIFICATION = Metric(
    "riskmon_sensitivity_worst_amplification",
    "gauge",
    "ratio",
    "Harm probability of the riskiest harmless rewording over that of the prompt as it stands, the largest over the "
    "examined prompts, corrected for being the largest; absent where nothing harmful was drawn from either.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_WORST_AMPLIFICATION_LOWER = Metric(
    "riskmon_sensitivity_worst_amplification_lower",
    "gauge",
    "ratio",
    "Lower end of the 95% interval of the worst amplification; 0 where nothing bounds it.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_WORST_AMPLIFICATION_UPPER = Metric(
    "riskmon_sensitivity_worst_amplification_upper",
    "gauge",
    "ratio",
    "Upper end of the 95% interval of the worst amplification; absent where nothing bounds it.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_LOG10_SPREAD = Metric(
    "riskmon_sensitivity_log10_spread",
    "gauge",
    "orders of magnitude",
    "Standard deviation of log10 p over harmless rewordings of a prompt, noise taken out, median over the examined "
    "prompts.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_LAST_SUCCESS = Metric(
    "riskmon_sensitivity_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the last complete run of the sensitivity job finished, as a Unix timestamp.",
)

# ---- back-test: past forecasts, one a day, against judged production responses

BACKTEST_MEDIAN_ERROR = Metric(
    "riskmon_backtest_median_error_ratio",
    "gauge",
    "ratio",
    "Median multiplicative error of past daily forecasts over all strata, at least 1; "
    "absent while fewer than ten of a day's judged responses are harmful on average.",
    (HARM,),
)
BACKTEST_OBSERVATION_ERROR = Metric(
    "riskmon_backtest_observation_error_ratio",
    "gauge",
    "ratio",
    "Median multiplicative error that the sampling of judged responses makes by itself; what the forecasts "
    "contribute is what the median error exceeds it by.",
    (HARM,),
)
BACKTEST_INTERVAL_COVERAGE = Metric(
    "riskmon_backtest_interval_coverage_ratio",
    "gauge",
    "ratio",
    "Share of past forecast intervals that held, among the scored ones, by nominal level; absent without any.",
    (HARM, LEVEL),
)
BACKTEST_SCORED = Metric(
    "riskmon_backtest_scored_forecasts",
    "gauge",
    "forecasts",
    "Forecasts of the last 30 days, one a day, with enough judged responses to notice three times the upper limit.",
    (HARM,),
)
BACKTEST_UNDECIDED = Metric(
    "riskmon_backtest_undecided_forecasts",
    "gauge",
    "forecasts",
    "Past forecasts, one a day, with too few judged responses to tell, which did not contradict either.",
    (HARM,),
)
BACKTEST_ABOVE = Metric(
    "riskmon_backtest_above_forecasts",
    "gauge",
    "forecasts",
    "Past forecasts, one a day, whose 90% interval lay below what production responses showed: too low.",
    (HARM,),
)
BACKTEST_BELOW = Metric(
    "riskmon_backtest_below_forecasts",
    "gauge",
    "forecasts",
    "Past forecasts, one a day, whose 90% interval lay above what production responses showed: too high.",
    (HARM,),
)
BACKTEST_DIRECTION = Metric(
    "riskmon_backtest_direction_ratio",
    "gauge",
    "ratio",
    "Share of real changes between scored days that were forecast with the right sign; absent without any.",
    (HARM,),
)
BACKTEST_LAST_SUCCESS = Metric(
    "riskmon_backtest_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When past forecasts were last held against production responses, as a Unix timestamp.",
)

# ---- work done

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
    "Device time spent on estimates.",
)
JOB_FAILURES = Metric(
    "riskmon_job_failures_total",
    "counter",
    "runs",
    "Runs of a scheduled job that failed.",
    (TASK,),
)

# ---- traffic

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
OBSERVED_OUTPUTS = Metric(
    "riskmon_observed_outputs_total",
    "counter",
    "outputs",
    "Production responses judged.",
    (HARM,),
)
OBSERVED_HARMFUL_OUTPUTS = Metric(
    "riskmon_observed_harmful_outputs_total",
    "counter",
    "outputs",
    "Production responses judged harmful.",
    (HARM,),
)

# ---- riskmon itself

STORE_UP = Metric(
    "riskmon_store_up",
    "gauge",
    "bool",
    "1 when the store could be read for this scrape, 0 when not; at 0 all that it holds is absent.",
)
BUILD_INFO = Metric(
    "riskmon_build_info",
    "gauge",
    "1",
    "Always 1; the labels name the running version, the deployed model and the judges in use.",
    ("version", "model", "judge"),
)

ALL: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
