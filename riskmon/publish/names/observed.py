"""Production responses, as judged.

Judged responses are a sample of all, as many per stratum and window whatever their traffic, so that a rate over all
strata is one of the sample and not of production. The counters by stratum can be weighted by traffic.
"""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, Metric

OBSERVED_OUTPUTS = Metric(
    "riskmon_observed_outputs_total",
    "counter",
    "outputs",
    "Production responses judged.",
    (HARM,),
)
OBSERVED_HARMFUL_OUTPUTS = Metric(
    "riskmon_observed_harmful_outputs_total",
    "counter",
    "outputs",
    "Production responses judged harmful.",
    (HARM,),
)
OBSERVED_UNCOVERED_HARMFUL_OUTPUTS = Metric(
    "riskmon_observed_uncovered_harmful_outputs_total",
    "counter",
    "outputs",
    "Production responses judged harmful that no proposal but the target itself reaches.",
    (HARM,),
)
OBSERVED_STRATUM_OUTPUTS = Metric(
    "riskmon_observed_stratum_outputs_total",
    "counter",
    "outputs",
    "Production responses judged, by stratum.",
    (HARM,),
    by_stratum=True,
)
OBSERVED_STRATUM_HARMFUL_OUTPUTS = Metric(
    "riskmon_observed_stratum_harmful_outputs_total",
    "counter",
    "outputs",
    "Production responses judged harmful, by stratum.",
    (HARM,),
    by_stratum=True,
)
