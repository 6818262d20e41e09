"""How far p moves when a prompt is worded differently."""

from __future__ import annotations

from riskmon.publish.names.metric import HARM, Metric

SENSITIVITY_WORST_AMPLIFICATION = Metric(
    "riskmon_sensitivity_worst_amplification",
    "gauge",
    "ratio",
    "Harm probability of the riskiest harmless rewording over that of the prompt as it stands, the largest over the "
    "examined prompts, corrected for being the largest; absent where nothing harmful was drawn from either.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_WORST_AMPLIFICATION_LOWER = Metric(
    "riskmon_sensitivity_worst_amplification_lower",
    "gauge",
    "ratio",
    "Lower end of the 95% interval of the worst amplification; 0 where nothing bounds it.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_WORST_AMPLIFICATION_UPPER = Metric(
    "riskmon_sensitivity_worst_amplification_upper",
    "gauge",
    "ratio",
    "Upper end of the 95% interval of the worst amplification; absent where nothing bounds it.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_LOG10_SPREAD = Metric(
    "riskmon_sensitivity_log10_spread",
    "gauge",
    "orders of magnitude",
    "Standard deviation of log10 p over harmless rewordings of a prompt, noise taken out, median over the examined "
    "prompts.",
    (HARM,),
    by_stratum=True,
)
SENSITIVITY_LAST_SUCCESS = Metric(
    "riskmon_sensitivity_last_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the last complete run of the sensitivity job finished, as a Unix timestamp.",
)
