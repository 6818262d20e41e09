"""The JSON Schema (draft 2020-12) of the JSON report.

`python -m riskmon.publish.reports.schema > docs/report.schema.json` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from riskmon.publish.reports.document import ReportDocument

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The form of the object."""
    return {"$schema": _DRAFT, **ReportDocument.model_json_schema(mode="serialization")}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1) + "\n")
