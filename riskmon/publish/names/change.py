"""How the forecast over all strata changed since the day before, and by which part."""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, PART, Metric

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
