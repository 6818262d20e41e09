"""How long a scrape takes with many strata, beside a bare prometheus_client registry with as many samples.

    python tests/benchmarks/bench_scrape.py [--strata 200] [--harms 3] [--repeats 20]

Prints the median milliseconds of CPU of: reading the snapshot from a SQLite store (every scrape does, and none more
than once a second); the exposition of a new forecast; that of one that was scraped before, which is what most scrapes
ask for; a plain registry of gauges with the same labels and values. For the text format and for OpenMetrics. The store
holds a forecast of every stratum for every harm and a sensitivity run over all strata.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.snapshots import FACTS, FULL, NOW, forecast, stratum

from riskmon.publish import Facts, HarmFacts
from riskmon.publish.metrics import Exposition
from riskmon.publish.metrics.collector import SnapshotCollector
from riskmon.records import Snapshot
from riskmon.records.sensitivity import SensitivitySummary, StratumSensitivity
from riskmon.store import Store, open_store

FORMATS = {"text": "text/plain", "OpenMetrics": "application/openmetrics-text; version=1.0.0"}


def fill(store: Store, strata: int, harms: list[str]) -> None:
    """Forecasts and sensitivity of every stratum and harm, and the totals."""
    cells = [stratum(f"route-{number}", f"model-{number % 7}") for number in range(strata)]
    numbers = (3.5, 1.0, 7.0, 0.97, 900.0, 4e-3, 6e-3, 12.0, 5.0)
    store.write_forecasts([forecast(harm, cell, numbers) for harm in harms for cell in [None, *cells]])
    rows = tuple(StratumSensitivity(harm, cell, 3, 2.0, 1.0, 3.0, 0.1) for harm in harms for cell in cells)
    done = NOW - timedelta(hours=1)
    store.write_sensitivity(SensitivitySummary(done, done, (), rows, {}, 0, 0, 1.0, complete=True))


def bare(snapshot: Snapshot, facts: Facts) -> CollectorRegistry:
    """A plain registry of gauges with the same samples."""
    registry = CollectorRegistry()
    for family in SnapshotCollector(lambda: snapshot, lambda: facts).collect():
        labels = list(family.samples[0].labels)
        gauge = Gauge(f"bare_{family.name}", family.documentation, labels, registry=registry)
        for sample in family.samples:
            (gauge.labels(**sample.labels) if labels else gauge).set(sample.value)
    return registry


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Median duration, after one run to warm up."""
    work()
    durations = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        durations.append(time.process_time() - started)
    return 1000 * statistics.median(durations)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--strata", type=int, default=200)
    options.add_argument("--harms", type=int, default=3)
    options.add_argument("--repeats", type=int, default=20)
    chosen = options.parse_args()
    harms = [f"harm_{number}" for number in range(chosen.harms)]
    facts = dataclasses.replace(FACTS, harms=tuple(HarmFacts(harm, "regex", 10.0) for harm in harms))
    with tempfile.TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/risk.db") as store:
        fill(store, chosen.strata, harms)
        read_ms = median_ms(lambda: store.snapshot(NOW), chosen.repeats)
        # Two that are equal and not the same, as two scrapes see them.
        snapshot, again = (
            dataclasses.replace(
                store.snapshot(NOW), last_cycle=FULL.last_cycle, last_success=FULL.last_success
            )
            for _ in range(2)
        )
    turns = itertools.cycle((snapshot, again))
    plain = bare(snapshot, facts)
    samples = sum(len(family.samples) for family in plain.collect())
    print(
        f"{chosen.strata} strata x {chosen.harms} harms, {samples} samples; snapshot read in {read_ms:.1f} ms\n"
    )
    print("| format | new forecast ms | seen before ms | bare registry ms | ratio new | ratio seen |")
    print("|---|---|---|---|---|---|")
    for name, accept in FORMATS.items():
        encode, _ = choose_encoder(accept)
        seen_before = Exposition(lambda: next(turns), lambda: facts)
        new, seen, theirs = (
            median_ms(work, chosen.repeats)
            for work in (
                lambda accept=accept: Exposition(lambda: snapshot, lambda: facts).encode(accept),  # type: ignore[misc]
                lambda accept=accept, kept=seen_before: kept.encode(accept),  # type: ignore[misc]
                lambda encode=encode: encode(plain),  # type: ignore[misc]
            )
        )
        print(
            f"| {name} | {new:.1f} | {seen:.1f} | {theirs:.1f} | {new / theirs:.2f} | {seen / theirs:.2f} |"
        )


if __name__ == "__main__":
    main()
