"""Two days of real expositions as blocks of a Prometheus database.

riskmon's own collector is asked every two minutes of simulated time; what it answers is written as OpenMetrics with the
time of each moment, and `promtool` makes the blocks. A Prometheus that is started on them has a past.
"""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path

from support.two_days import LENGTH, TwoDays

from riskmon.publish.metrics import build_registry

_STEP = timedelta(minutes=2)


def write(life: TwoDays, until: datetime, target: dict[str, str], data: Path, work: Path) -> None:
    """Blocks under `data` of what riskmon shows between two days before the end and `until`.

    Args:
        life: the deployment.
        until: the last moment.
        target: labels that Prometheus would add, `job` and `instance`.
        data: folder of the database, made here.
        work: folder for the text in between.
    """
    lines: dict[tuple[str, str], list[str]] = defaultdict(list)
    now = life.end - LENGTH
    while now < until:
        began = time.perf_counter()
        snapshot, facts = life.snapshot(now), life.facts(now)
        registry = build_registry(lambda s=snapshot: s, lambda f=facts: f)  # type: ignore[misc]
        for family in registry.collect():
            # Counters of the client library's own carry a `_created` beside them, which nothing here asks for.
            kept = [sample for sample in family.samples if not sample.name.endswith("_created")]
            lines[family.name, family.type] += [
                f"{s.name}{{{_labels({**s.labels, **target})}}} {s.value} {now.timestamp():.3f}" for s in kept
            ]
        # What Prometheus adds to every scrape.
        for name, value in (("up", 1), ("scrape_duration_seconds", time.perf_counter() - began)):
            lines[name, "gauge"].append(f"{name}{{{_labels(target)}}} {value} {now.timestamp():.3f}")
        now += _STEP
    text = work / "history.txt"
    with text.open("w", encoding="utf-8") as out:
        for (name, kind), samples in lines.items():
            out.write("\n".join([f"# TYPE {name} {kind}", *samples]) + "\n")
        out.write("# EOF\n")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", text, data], check=True, capture_output=True
    )


def _labels(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
