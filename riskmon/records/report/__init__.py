"""A deployment report as nouns: everything that it shows, gathered at one moment, before any format.

Text of production is nowhere in it but in the optional excerpts, which every `repr` leaves out. None is unknown, and
never zero. Times are aware UTC datetimes.
"""

from riskmon.records.report.contributions import Contributor, HeatMap, HeatRow
from riskmon.records.report.harms import BudgetVerdict, CoverageBound, HarmReport, JudgeMeasure
from riskmon.records.report.incidents import Alert, AlertLog, Incident, IncidentKind
from riskmon.records.report.scope import ExpertVersion, HarmScope, Scope, Versions
from riskmon.records.report.traffic import SampleTally, TrafficReport
from riskmon.records.report.whole import DeploymentReport, Finding, ReportCause, Trust

__all__ = [
    "Alert",
    "AlertLog",
    "BudgetVerdict",
    "Contributor",
    "CoverageBound",
    "DeploymentReport",
    "ExpertVersion",
    "Finding",
    "HarmReport",
    "HarmScope",
    "HeatMap",
    "HeatRow",
    "Incident",
    "IncidentKind",
    "JudgeMeasure",
    "ReportCause",
    "SampleTally",
    "Scope",
    "TrafficReport",
    "Trust",
    "Versions",
]
