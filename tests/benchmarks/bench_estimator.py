"""Squared error against the exact truth times tokens, relative to brute force.

    python tests/benchmarks/bench_estimator.py

An enumerable tiny model with three harms that are ever rarer. Each row repeats the same estimate with many seeds; the
gain is (brute force's squared error x its tokens) / (ours x ours). Brute force's squared error is p (1 - p) / n, known
exactly. No estimator's own variance is used, and no clock: the figures do not depend on the machine.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.estimates import HARMS, world_config
from support.worlds import PROMPT, UNSAFE, make_world

from riskmon.estimate.session import open_session
from riskmon.records import Prompt

SAMPLES = 500
SEEDS = 200


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder), "bench", 10, {"unsafe": UNSAFE})
        brute = open_session(world_config(world.target, samples=SAMPLES))
        ours = open_session(world_config(world.target, world.experts, samples=SAMPLES))
        plain_tokens = brute.estimate(Prompt("cost", PROMPT)).estimates[0].tokens
        runs = [ours.estimate(Prompt(f"seed-{i}", PROMPT)).estimates for i in range(SEEDS)]
        tokens = float(np.mean([estimates[0].tokens for estimates in runs]))
        print(
            f"{SAMPLES} samples, {SEEDS} seeds; {tokens / plain_tokens:.2f} times brute force's tokens per sample"
        )
        print(f"{'harm':>16} {'exact p':>9} {'rel. rmse':>9} {'covered':>8} {'bounded':>8} {'gain':>8}")
        for k, harm in enumerate(HARMS):
            truth = world.truth(HARMS[harm])
            own = [estimates[k] for estimates in runs]
            error = float(np.mean([(estimate.p - truth) ** 2 for estimate in own]))
            gain = truth * (1 - truth) / SAMPLES / error * plain_tokens / tokens
            covered = np.mean([estimate.ci_low <= truth <= estimate.ci_high for estimate in own])
            bounded = np.mean([estimate.upper_bound >= truth for estimate in own])
            print(
                f"{harm:>16} {truth:9.2e} {np.sqrt(error) / truth:9.2f} {covered:8.1%} {bounded:8.1%} {gain:8.1f}"
            )


if __name__ == "__main__":
    main()
