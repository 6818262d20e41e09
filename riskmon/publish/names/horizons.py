"""The forecast over all strata for other horizons: the present local day, and seven days."""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, Metric

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
