"""The exposition: from a snapshot of the store to Prometheus metric families."""

from riskmon.publish.metrics.collector import SnapshotCollector, build_registry
from riskmon.publish.metrics.exposition import Exposition, RoleExposition

__all__ = ["Exposition", "RoleExposition", "SnapshotCollector", "build_registry"]
