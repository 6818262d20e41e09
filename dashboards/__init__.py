"""Grafana dashboards, generated from the metric names of `riskmon/publish/names/`."""
