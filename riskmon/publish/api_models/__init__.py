"""What the JSON API answers, as pydantic models; the OpenAPI description is generated from them.

Every field states unit and meaning. A number that is unknown or not finite is null: JSON has no NaN, and unknown is
not zero. Times are RFC 3339 in UTC. A stratum is an object of its labels; null means the total over all strata, whose
interval is no sum of theirs. No prompt is here, neither its text nor its id. `api_answers.py` fills the models.
"""

from riskmon.publish.api_models.estimates import (
    Audit,
    Cycle,
    EstimatesAnswer,
    HarmItem,
    Observed,
    ResponseAudit,
)
from riskmon.publish.api_models.forecast import (
    ChangeItem,
    EffectItem,
    ForecastAnswer,
    ForecastItem,
    Interval,
    OutlookItem,
    Spread,
    VersionChangeItem,
)
from riskmon.publish.api_models.health import BacktestItem, HarmCheck, HealthAnswer, IntervalCoverage, Traffic
from riskmon.publish.api_models.strata import (
    StrataAnswer,
    StratumEventItem,
    StratumHarm,
    StratumItem,
    StratumRewording,
)

__all__ = [
    "Audit",
    "BacktestItem",
    "ChangeItem",
    "Cycle",
    "EffectItem",
    "EstimatesAnswer",
    "ForecastAnswer",
    "ForecastItem",
    "HarmCheck",
    "HarmItem",
    "HealthAnswer",
    "Interval",
    "IntervalCoverage",
    "Observed",
    "OutlookItem",
    "ResponseAudit",
    "Spread",
    "StrataAnswer",
    "StratumEventItem",
    "StratumHarm",
    "StratumItem",
    "StratumRewording",
    "Traffic",
    "VersionChangeItem",
]
