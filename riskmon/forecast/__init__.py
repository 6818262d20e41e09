"""Forecast: from the probability of harm per prompt to expected harmful outputs per day.

`daily` composes the stage: `volume` predicts requests, `harm_rate` the mean probability of harm per stratum,
`uncovered` bounds the harm that the proposals miss, `aggregate` multiplies and adds them up, `worst_query`
extrapolates the tail.
"""

from riskmon.forecast.daily import make_forecasts
from riskmon.forecast.worst_query import worst_query_probability

__all__ = ["make_forecasts", "worst_query_probability"]
