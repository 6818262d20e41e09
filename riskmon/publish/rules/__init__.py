"""Prometheus rules: rendered from the configuration, with every metric name from `riskmon.publish.names`.

risk.py       the forecast against the budget and against its trailing level
burn.py       observed harm against the budget
estimator.py  estimates, judges, the device worker
intake.py     the traffic
itself.py     the process, its store and jobs, the back-test
"""

from riskmon.publish.rules.document import alerts, render_rules, write_rules

__all__ = ["alerts", "render_rules", "write_rules"]
