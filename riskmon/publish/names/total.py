"""The forecast over all strata. Intervals do not add, so a total over strata has its own name."""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, PART, Metric

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
TOTAL_DAILY_OVER_BUDGET_PROBABILITY = Metric(
    "riskmon_forecast_total_daily_over_budget_probability",
    "gauge",
    "probability",
    "Probability of more harmful outputs than the budget in the next 24 hours; absent without one.",
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
