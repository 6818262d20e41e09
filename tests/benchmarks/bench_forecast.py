"""How right forecasts are, on simulated deployments whose truth is known; and how right the worst query is.

    python tests/benchmarks/bench_forecast.py [--seeds N] [--worlds NAME,NAME] [--no-worst-query]

Prints three Markdown tables: what `riskmon.bench.deployment_scores`, `deployment_spreads` and `worst_queries` explain.
With 300 seeds it takes about an hour of one core; nothing depends on the machine.
"""

from __future__ import annotations

import argparse

from rich.progress import Progress

from riskmon.bench import deployment_scores, deployment_spreads, worst_queries
from riskmon.bench.deployment_spreads import SPREADS, score_spread
from riskmon.bench.deployment_worlds import CATALOGUE


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser()
    options.add_argument("--seeds", type=int, default=300)
    options.add_argument("--worlds", default=",".join(CATALOGUE))
    options.add_argument("--no-worst-query", action="store_true")
    chosen = options.parse_args()
    names = [name.strip() for name in chosen.worlds.split(",")]
    if unknown := [name for name in names if name not in CATALOGUE]:
        options.error(f"unknown world {unknown[0]!r}; choose from {', '.join(CATALOGUE)}")
    tails = () if chosen.no_worst_query else tuple(worst_queries.TAILS)
    with Progress(transient=True) as bar:
        task = bar.add_task("forecasts", total=len(names) * chosen.seeds)
        scores = [
            deployment_scores.score(
                name, deployment_scores.run_in_turn(name, chosen.seeds, done=lambda: bar.advance(task))
            )
            for name in names
        ]
        task = bar.add_task("worst queries", total=len(tails))
        found = []
        for name in tails:
            found += worst_queries.score_tail(name, runs=chosen.seeds)
            bar.advance(task)
        task = bar.add_task("spreads", total=len(SPREADS) * chosen.seeds)
        spreads = [
            score_spread(name, range(chosen.seeds), done=lambda: bar.advance(task)) for name in SPREADS
        ]
    print(f"{chosen.seeds} seeds\n\n{deployment_scores.render(scores)}")
    print(f"\n{deployment_spreads.render(spreads)}")
    if found:
        print(f"\n{worst_queries.render(found)}")


if __name__ == "__main__":
    main()
