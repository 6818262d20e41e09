"""What seek mode costs, and whether what it says is true.

    python tests/benchmarks/bench_seek.py

Cost: the same step over 10,000 and over 10,000,000 new offsets in four partitions, served by a broker in another
process that makes messages of about 500 bytes as they are asked for. Both are read in turns in one run; processor
time is that of this process alone.

Truth: 200 simulated topics of each kind; a step of seek mode reads each, and its counts and 95% limits are held
against what the topic really holds. `v / mse` is the mean stated variance over the mean squared error of the counts.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.seek_worlds import GAP, LENGTH, RANGES, WORLDS, step

from riskmon.config import KafkaConfig, TrafficConfig
from riskmon.traffic import open_intake, open_source

SIZES = {"small": 10_000, "large": 10_000_000}
ROUNDS, TOPICS = 15, 200
NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)


@contextmanager
def broker() -> Iterator[str]:
    """A virtual broker in a process of its own; gives where it listens."""
    command = [sys.executable, "-m", "support.virtual_broker", *(f"{k}={n}" for k, n in SIZES.items())]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()


def cost(servers: str) -> None:
    """Print the cost of a step, per number of offsets."""
    processor: dict[str, list[float]] = {topic: [] for topic in SIZES}
    wall: dict[str, list[float]] = {topic: [] for topic in SIZES}
    for _ in range(ROUNDS):
        for topic, offsets in SIZES.items():
            kafka = KafkaConfig(bootstrap_servers=(servers,), topic=topic, mode="seek", start="earliest")
            config = TrafficConfig(kafka=kafka, strata=("route",))
            source = open_source(config)
            source.start({})
            intake = open_intake(source, config)
            begun = time.perf_counter(), time.process_time()
            batch = intake.collect(NOW)
            wall[topic].append(time.perf_counter() - begun[0])
            processor[topic].append(time.process_time() - begun[1])
            source.close()
            assert batch.consumed == sum(batch.requests.values()) == offsets
    sys.stdout.write(f"one step, {RANGES} ranges of {LENGTH} offsets, median of {ROUNDS}\n\n")
    sys.stdout.write(f"{'new offsets':>12} {'processor':>12} {'wall':>12}\n")
    for topic, offsets in SIZES.items():
        used, took = statistics.median(processor[topic]), statistics.median(wall[topic])
        sys.stdout.write(f"{offsets:>12,} {used * 1e3:>9.1f} ms {took * 1e3:>9.1f} ms\n")
    ratios = [statistics.median(of["large"]) / statistics.median(of["small"]) for of in (processor, wall)]
    sys.stdout.write(f"{'ratio':>12} {ratios[0]:>12.2f} {ratios[1]:>12.2f}\n\n")
    assert max(ratios) <= 2


def truth() -> None:
    """Print how often limits hold, per kind of topic."""
    sys.stdout.write(f"{TOPICS} topics of each kind, one step of {RANGES} ranges of {LENGTH} each\n\n")
    sys.stdout.write(f"{'topic':>24} {'volume exact':>13} {'95% limits hold':>16} {'v / mse':>8}\n")
    for name, make in WORLDS.items():
        held, exact, errors, variances = [], [], [], []
        for number in range(TOPICS):
            rng = np.random.default_rng([7, number])
            world = make(rng)
            real, said = world.truth, step(world, rng)
            shares = real / real.sum()
            held += [
                limits.low <= share <= limits.high
                for share, limits in zip(shares[1:], said.limits[1:], strict=True)
            ]
            exact.append(said.counts[1:].sum() == real[1:].sum())
            errors.append((said.counts - real)[1:] ** 2)
            variances.append(said.variances[1:])
            has_gaps = real[GAP] > 0
        volume = "estimated" if has_gaps else f"{np.mean(exact):.0%}"
        ratio = np.mean(variances) / np.mean(errors)
        sys.stdout.write(f"{name:>24} {volume:>13} {np.mean(held):>16.1%} {ratio:>8.2f}\n")
        assert has_gaps or all(exact)
        assert np.mean(held) >= 0.93


def main() -> None:
    """Print both tables."""
    with broker() as servers:
        cost(servers)
    truth()


if __name__ == "__main__":
    main()
