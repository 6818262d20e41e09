"""Every metric that riskmon exports, declared once.

A `Metric` is a name with its kind, unit, help and labels. The collector, docs/metrics.md, the alerting rules and the
dashboards all read it from here, so that a name is spelled in one place. Conventions: the prefix `riskmon_`; base
units; probabilities and ratios from 0 to 1; the horizon is part of the name; the bounds of an interval are metrics
of their own, because a sum over labels must mean something; and for the same reason a total over strata has its own
name (intervals do not add). Times are Unix timestamps, never ages.

The modules group them by subject; `ALL` is the order of docs/metrics.md.
"""

# ruff: noqa: F403  (every constant of a group is a metric, and all of them are public)

from __future__ import annotations

from riskmon.publish.names import (
    backtest,
    change,
    estimate,
    horizons,
    itself,
    observed,
    sensitivity,
    strata,
    total,
    traffic,
)
from riskmon.publish.names.backtest import *
from riskmon.publish.names.change import *
from riskmon.publish.names.estimate import *
from riskmon.publish.names.horizons import *
from riskmon.publish.names.itself import *
from riskmon.publish.names.metric import Metric
from riskmon.publish.names.observed import *
from riskmon.publish.names.sensitivity import *
from riskmon.publish.names.strata import *
from riskmon.publish.names.total import *
from riskmon.publish.names.traffic import *

_GROUPS = (strata, total, horizons, change, estimate, sensitivity, backtest, traffic, observed, itself)

ALL: tuple[Metric, ...] = tuple(
    value for group in _GROUPS for value in vars(group).values() if isinstance(value, Metric)
)
