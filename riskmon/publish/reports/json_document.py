"""A report as JSON; its form is `docs/report.schema.json`."""

from __future__ import annotations

from riskmon.publish.reports.document import ReportDocument
from riskmon.records.report import DeploymentReport


def render_json(report: DeploymentReport) -> str:
    """The report as an object of JSON."""
    return ReportDocument.model_validate(report).model_dump_json(indent=1) + "\n"
