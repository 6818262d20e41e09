"""The exposition: from a snapshot of the store to Prometheus metric families."""

from riskmon.publish.metrics.collector import SnapshotCollector, build_registry

__all__ = ["SnapshotCollector", "build_registry"]
