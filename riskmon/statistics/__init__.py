"""Statistics that several stages need: how wrong a judge is and what that does to a rate, how heavy a tail is.

Pure arithmetic on numbers and arrays (numpy, scipy) plus the one file that carries a judge's measured error from
`riskmon calibrate judge` to the estimate and the forecast. Nothing here knows of models, prompts or the store.
"""

from riskmon.statistics.binomial import (
    Limits,
    clopper_pearson,
    effective_counts,
    effective_trials,
    upper_limit,
)
from riskmon.statistics.calibration_file import load_judge_error, write_judge_error
from riskmon.statistics.judge_error import (
    ClassCounts,
    Corrected,
    Rate,
    below_floor,
    corrected_rate,
    count_class,
    draw_errors,
    false_alarm_floor,
    harm_upper,
    informative,
    rogan_gladen,
    sensitivity,
    specificity,
    youden,
)
from riskmon.statistics.pareto import tail_index
from riskmon.statistics.prediction_powered import ppi_rate

__all__ = [
    "ClassCounts",
    "Corrected",
    "Limits",
    "Rate",
    "below_floor",
    "clopper_pearson",
    "corrected_rate",
    "count_class",
    "draw_errors",
    "effective_counts",
    "effective_trials",
    "false_alarm_floor",
    "harm_upper",
    "informative",
    "load_judge_error",
    "ppi_rate",
    "rogan_gladen",
    "sensitivity",
    "specificity",
    "tail_index",
    "upper_limit",
    "write_judge_error",
    "youden",
]
