"""riskmon itself: its store, its jobs, its build."""

from __future__ import annotations

from riskmon.publish.names.metric import ROLE, TASK, Metric

STORE_UP = Metric(
    "riskmon_store_up",
    "gauge",
    "bool",
    "1 when the store could be read for this scrape, 0 when not; at 0 all that it holds is absent.",
)
STORE_LAST_WRITE = Metric(
    "riskmon_store_last_write_timestamp_seconds",
    "gauge",
    "seconds",
    "When the store last took what was written to it, or was opened, as a Unix timestamp; it is written to every few "
    "seconds, so one that stands still says that it is locked or full.",
)
JOB_FAILURES = Metric(
    "riskmon_job_failures_total",
    "counter",
    "runs",
    "Runs of a scheduled job that failed.",
    (TASK,),
)
BUILD_INFO = Metric(
    "riskmon_build_info",
    "gauge",
    "1",
    "Always 1; the labels name the running version, the deployed model and the judges in use.",
    ("version", "model", "judge"),
)
ROLE_INFO = Metric(
    "riskmon_role_info",
    "gauge",
    "1",
    "Always 1; the label names the part of the work that this process does: all, intake, estimate or publish.",
    (ROLE,),
)
CONFIG_RELOAD_SUCCESSFUL = Metric(
    "riskmon_config_last_reload_successful",
    "gauge",
    "bool",
    "1 when the configuration file was taken over the last time it was read, 0 when it was refused and the settings "
    "from before hold.",
)
CONFIG_RELOAD_TIMESTAMP = Metric(
    "riskmon_config_last_reload_success_timestamp_seconds",
    "gauge",
    "seconds",
    "When the configuration file was last taken over, at start or by a reload.",
)
