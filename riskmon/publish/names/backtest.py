"""The back-test: past forecasts, one a day, against judged production responses."""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, LEVEL, Metric

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
