"""Publish: metrics, health checks and the landing page, all from one `Snapshot`."""
