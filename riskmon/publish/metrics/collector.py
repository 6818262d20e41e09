"""From a snapshot to Prometheus metric families.

In comes a `Snapshot` (None while the store cannot be read) and the `Facts`; out go metric families, one
function per group of names. Everything is derived at scrape time and nothing is kept, so a restart changes no
value. An unknown value (None or NaN) has no sample, for unknown is not zero; a counter whose label values are known
starts at 0, so that its first increase is seen by `rate()`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.registry import Collector

from riskmon.publish import names
from riskmon.publish.facts import Facts
from riskmon.publish.metrics.backtest import backtests, observed
from riskmon.publish.metrics.estimate import cycles, work
from riskmon.publish.metrics.family import Family, family, timestamp
from riskmon.publish.metrics.forecast import changes, forecasts, stratum_forecasts
from riskmon.publish.metrics.sensitivity import sensitivity, stratum_sensitivity
from riskmon.publish.metrics.traffic import traffic
from riskmon.records import Snapshot


def build_registry(latest: Callable[[], Snapshot | None], facts: Callable[[], Facts]) -> CollectorRegistry:
    """A registry of its own: riskmon's metrics and those of the process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(SnapshotCollector(latest, facts))
    return registry


class SnapshotCollector(Collector):
    """Shows the latest snapshot on every scrape.

    Args:
        latest: the snapshot to show; None while the store cannot be read.
        facts: what is configured and running.
    """

    def __init__(self, latest: Callable[[], Snapshot | None], facts: Callable[[], Facts]) -> None:
        self._latest = latest
        self._facts = facts

    def describe(self) -> Iterable[Family]:
        """Nothing, so that registering reads no snapshot."""
        return ()

    def collect(self) -> Iterator[Family]:
        """The families of one scrape; those without a sample are left out."""
        snapshot, facts = self._latest(), self._facts()
        strata = () if snapshot is None else by_stratum(snapshot, facts)
        for each in itertools.chain(strata, everything_else(snapshot, facts)):
            if each.samples:
                yield each


def by_stratum(snapshot: Snapshot, facts: Facts) -> Iterator[Family]:
    """The families that have a series for every stratum."""
    yield from stratum_forecasts(snapshot, facts)
    yield from stratum_sensitivity(snapshot, facts)


def everything_else(snapshot: Snapshot | None, facts: Facts) -> Iterator[Family]:
    """All other families; some may have no sample."""
    yield family(names.STORE_UP, [((), float(snapshot is not None))])
    yield family(names.RISK_BUDGET, [((harm.name,), harm.budget_daily) for harm in facts.harms])
    yield family(names.INTAKE_INFO, [((facts.intake_mode,), 1.0)] if facts.intake_mode else [])
    yield from _of_process(facts)
    if snapshot is None:
        return
    yield family(names.STORE_LAST_WRITE, [((), timestamp(snapshot.written_at))])
    yield from forecasts(snapshot, facts)
    yield from changes(snapshot, facts)
    yield from cycles(snapshot, facts)
    yield sensitivity(snapshot)
    yield from backtests(snapshot, facts)
    yield from work(snapshot, facts)
    yield from traffic(snapshot, facts)
    yield from observed(snapshot, facts)


def of_role(facts: Facts, written_at: datetime | None) -> Iterator[Family]:
    """The families of a process that shows no snapshot: what is its own, so that no series is exported twice.

    Args:
        written_at: when a write of it last went through; None where it writes too seldom for that to tell anything.
    """
    yield from _of_process(facts)
    yield family(names.STORE_LAST_WRITE, [((), timestamp(written_at))])


def _of_process(facts: Facts) -> Iterator[Family]:
    judges = ",".join(dict.fromkeys(harm.judge for harm in facts.harms))
    yield family(names.BUILD_INFO, [((facts.version, facts.model, judges), 1.0)])
    yield family(names.ROLE_INFO, [((facts.role.value,), 1.0)])
    state = facts.state
    yield family(names.CONFIG_RELOAD_SUCCESSFUL, [((), float(not state.refused))])
    yield family(names.CONFIG_RELOAD_TIMESTAMP, [((), timestamp(state.loaded_at))])
