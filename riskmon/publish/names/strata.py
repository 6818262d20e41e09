"""The forecast of each stratum: the next 24 hours."""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, Metric

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
