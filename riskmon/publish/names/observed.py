"""Production responses, as judged."""

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
