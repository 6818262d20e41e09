"""What the JSON report holds, as pydantic models; `docs/report.schema.json` is generated from them.

Each model reads the record of the same part by the names of its attributes, so nothing is copied by hand. A number that
is unknown or not finite is null: JSON has no NaN, and unknown is not zero. Times are RFC 3339 in UTC. A stratum is an
object of its labels; null is the total over all strata, whose interval is no sum of theirs.
"""

from riskmon.publish.reports.document.whole import ReportDocument

__all__ = ["ReportDocument"]
