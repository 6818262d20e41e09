"""The exposition: from a snapshot of the store to Prometheus metric families."""

from riskmon.publish.metrics.collector import SnapshotCollector, build_registry
from riskmon.publish.metrics.exposition import Exposition

__all__ = ["Exposition", "SnapshotCollector", "build_registry"]
