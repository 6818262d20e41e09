"""Requests of the coming hours, per stratum: the model that the length of the history allows.

In come exact counts per window and stratum, out go expected requests of each coming hour and draws around them. Draw b
of all strata is one possible future: what moves all traffic moves them together, and a day that starts high stays
high, so that sums over hours, days and strata have honest intervals.

    known history      model                                                          module
    less than 24 h     the rate so far, with doubt about the hours not yet seen       flat
    24 h to 3 days     yesterday's hours, at a level that follows                     profile, level
    3 days to a week   mean shape of the day, level                                   profile, level
    a week and more    the same with days of the week and trend                       profile, level
    two weeks          weekends have a shape of the day of their own                  profile

A day is the least that holds every hour once: before it nothing can be said of the others, and the width says so. With
three days each hour was seen three times, so that one odd hour is outvoted. A week is the least that holds each day.
From a day on it is one model whose priors stand for what was not yet seen: the table says what the data can decide.
`basis` names the row.

The steps are `hours` (one grid, gaps), `outliers`, `profile` (shape of the day in local time), `series` and `level`
(structural time series, filtered by statsmodels, calibrated by its own errors one day ahead), `total` (both together)
and `shares`. The full model is fitted once, to all traffic, and strata are shares of it: what strata have in common is
learned from all counts, draws are joint by construction, and hundreds of strata cost little more than one. `launch` is
for strata younger than a day.
"""

from riskmon.forecast.volume.hours import DAY_HOURS, WEEK_HOURS
from riskmon.forecast.volume.predict import predict_requests
from riskmon.forecast.volume.prediction import VolumePrediction

__all__ = ["DAY_HOURS", "WEEK_HOURS", "VolumePrediction", "predict_requests"]
