"""Forecast: from the probability of harm per prompt to expected harmful outputs per day.

`daily` composes the stage: `volume` predicts requests, `harm_rate` the mean probability of harm per stratum,
`uncovered` bounds the harm that the proposals miss, `aggregate` multiplies and adds them up, `worst_query`
extrapolates the tail. `change_of_forecasts` says why a forecast differs from an earlier one, `backtest` holds past
forecasts against judged responses, `retry` reads the risk of repeated questions, `vanished` finds strata
whose traffic has ended.
"""

from riskmon.forecast.backtest import back_test
from riskmon.forecast.backtest_count import judged_window
from riskmon.forecast.change_of_forecasts import change_between, change_of_version, serving_versions
from riskmon.forecast.daily import make_forecasts
from riskmon.forecast.retry import retry_risk
from riskmon.forecast.vanished import VANISHED_LOOKBACK, find_vanished
from riskmon.forecast.worst_query import worst_query_probability

__all__ = [
    "VANISHED_LOOKBACK",
    "back_test",
    "change_between",
    "change_of_version",
    "find_vanished",
    "judged_window",
    "make_forecasts",
    "retry_risk",
    "serving_versions",
    "worst_query_probability",
]
