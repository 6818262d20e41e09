"""A report as JSON, and the JSON Schema (draft 2020-12) of its form.

`python -m riskmon.publish.reports.json_document > docs/report.schema.json` writes the schema anew; a test says when
that is due.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from riskmon.publish.reports.document import ReportDocument
from riskmon.records.report import DeploymentReport

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def render_json(report: DeploymentReport) -> str:
    """The report as an object of JSON."""
    return ReportDocument.model_validate(report).model_dump_json(indent=1) + "\n"


def schema() -> dict[str, Any]:
    """The form of the object."""
    return {"$schema": _DRAFT, **ReportDocument.model_json_schema(mode="serialization")}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1) + "\n")
