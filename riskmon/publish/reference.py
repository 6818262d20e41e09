"""docs/metrics.md, rendered from `names/`.

`python -m riskmon.publish.reference > docs/metrics.md` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import sys

from riskmon.publish.names import ALL
from riskmon.publish.names.metric import Metric

_INTRODUCTION = """\
# Metrics

riskmon serves these at `/metrics`, as Prometheus text or OpenMetrics by the `Accept` header, beside the usual
`process_*` and `python_info`. "Strata" stands for the labels configured under `traffic.strata`.

- A value that is unknown has no series: unknown is not zero. Before the first forecast there is no forecast series.
- Counters survive restarts, and those with a known label value start at 0.
- A total over strata is a metric of its own, because the intervals of strata do not add up to the interval of a sum.
- While `riskmon_store_up` is 0 only it, `riskmon_build_info`, `riskmon_intake_info`, the budgets and the process
  metrics are there.
- Of the [roles](deployment.md#roles) `all` and `publish` serve these; `intake` and `estimate` only the process metrics,
  `riskmon_build_info`, `riskmon_role_info`, `riskmon_config_*`, and the intake when the store took its last write.
- A gauge keeps its last value while the job behind it is stuck: alert on the `_timestamp_seconds` beside it.

| name | kind | unit | labels | meaning |
|---|---|---|---|---|
"""


def render() -> str:
    """The page as Markdown."""
    return _INTRODUCTION + "".join(_row(metric) for metric in ALL)


def _row(metric: Metric) -> str:
    labels = ", ".join([f"`{label}`" for label in metric.labels] + ["strata"] * metric.by_stratum)
    return f"| `{metric.name}` | {metric.kind} | {metric.unit} | {labels} | {metric.help} |\n"


if __name__ == "__main__":
    sys.stdout.write(render())
