"""The frozen nouns that stages hand to one another.

Traffic makes an `IntakeBatch` of counted and sampled prompts; estimate turns a `Prompt` into `Draws`, `Verdicts`
and one `Estimate` per harm; forecast turns `WeightedEstimate`s and volume into `Forecast`s; publish shows a
`Snapshot`. Stages import this module and nothing of one another.

Times are aware UTC datetimes. Arrays are never written to after construction. Text of prompts and completions is
held here and nowhere else, and every `repr` leaves it out.
"""

from riskmon.records.arrays import BoolArray, Float32Array, FloatArray, IntArray
from riskmon.records.backtest import Backtest, BacktestRow, IntervalShare, JudgedWindow
from riskmon.records.coverage import CoverageCount
from riskmon.records.cycles import CycleSummary, HarmHealth
from riskmon.records.estimates import DOUBTS, Draws, Estimate, Flag, PromptResult, Verdicts
from riskmon.records.forecasts import SHARPER, Forecast, Horizon, VarianceShares, WeightedEstimate
from riskmon.records.judging import JudgeError
from riskmon.records.plans import Hit, Plan, PlanMember
from riskmon.records.role import Role
from riskmon.records.snapshot import Counters, Snapshot
from riskmon.records.traffic import (
    DEAD_LETTER_OUTCOMES,
    IntakeBatch,
    Message,
    Position,
    Prompt,
    SampledPrompt,
    Stratum,
    TrafficStatus,
    VolumeWindow,
)

__all__ = [
    "DEAD_LETTER_OUTCOMES",
    "DOUBTS",
    "SHARPER",
    "Backtest",
    "BacktestRow",
    "BoolArray",
    "Counters",
    "CoverageCount",
    "CycleSummary",
    "Draws",
    "Estimate",
    "Flag",
    "Float32Array",
    "FloatArray",
    "Forecast",
    "HarmHealth",
    "Hit",
    "Horizon",
    "IntArray",
    "IntakeBatch",
    "IntervalShare",
    "JudgeError",
    "JudgedWindow",
    "Message",
    "Plan",
    "PlanMember",
    "Position",
    "Prompt",
    "PromptResult",
    "Role",
    "SampledPrompt",
    "Snapshot",
    "Stratum",
    "TrafficStatus",
    "VarianceShares",
    "Verdicts",
    "VolumeWindow",
    "WeightedEstimate",
]
