"""What a release gate needs: share of runs that hold, ship or stay undecided, by number of prompts.

    python tests/benchmarks/bench_release.py [--runs 300] [--prompts 250 500 1000 2000 4000]

Simulated pairs (tests/support/release_worlds.py): mean p of 1e-3 unless a row says otherwise, 500 draws a prompt, 50 of
them the target's, about four hits on a prompt of small p, five looks. Prints Markdown.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.release_worlds import Scenario, shares

ALIKE, UNEVEN, VERY_UNEVEN = Scenario(spread=1), Scenario(spread=1.5), Scenario(spread=2)
RARE = Scenario(spread=1, p=1e-4)
WORLDS = {"log-sd 1": ALIKE, "log-sd 1.5": UNEVEN, "log-sd 2": VERY_UNEVEN, "log-sd 1, p = 1e-4": RARE}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--prompts", type=int, nargs="+", default=[250, 500, 1000, 2000, 4000])
    parser.add_argument("--margins", type=float, nargs="+", default=[1.25, 1.5])
    args = parser.parse_args()
    print(
        "| margin | spread of p | prompts | no change: false hold | no change: ship | 2x: hold | 2x: prompts read |"
    )
    print("|---|---|---|---|---|---|---|")
    for margin in args.margins:
        for name, world in WORLDS.items():
            for prompts in args.prompts:
                same, _ = shares(replace(world, jitter=0.0), prompts, args.runs, margin=margin)
                double, read = shares(replace(world, ratio=2.0), prompts, args.runs, margin=margin, seed=1)
                print(
                    f"| {margin:g} | {name} | {prompts:,} | {same['hold']:.1%} | {same['ship']:.0%} "
                    f"| {double['hold']:.0%} | {read:.0%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
