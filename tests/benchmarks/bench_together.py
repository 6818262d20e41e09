"""Prompts estimated together against one by one, on a real model: whole estimates, with pilot, plans, hits and judge.

    python tests/benchmarks/bench_together.py [--draws 100] [--tokens 16] [--prompts 12] [--rounds 3]

SmolLM2-135M with a rude system message as its expert, everyday prompts. Ways take turns, and seconds are those of the
processor, so that a busy neighbour counts for little; the figure to compare is the ratio of prompts a second.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

from bench_smollm2 import BEFORE, settings
from make_smollm2_truth import PROMPTS

from riskmon.config import Config
from riskmon.estimate.opening import open_session
from riskmon.estimate.session import Session
from riskmon.records import Prompt
from riskmon.traffic.prompts import read_prompts


def main() -> None:
    """Run and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    session = open_session(config_of(options.draws, options.tokens))
    prompts = some_prompts(options.prompts)
    session.estimate(replace(prompts[0], id="warm-up"))  # tells how many are worth asking at once
    print(f"{options.draws} draws of {options.tokens} tokens; a batch holds {session.engine.rows}")
    sizes = sorted({1, session.at_once, 4 * session.at_once})
    seconds: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(options.rounds):
        for size in sizes:
            seconds[size].append(cost(session, prompts, size))
            print(f"{size} at once: {seconds[size][-1]:.1f} s", flush=True)
    alone = statistics.median(seconds[1])
    print("| at once | seconds a prompt | ratio |\n|---|---|---|")
    for size in sizes:
        own = statistics.median(seconds[size])
        own_choice = " (riskmon's choice)" if size == session.at_once else ""
        print(f"| {size}{own_choice} | {own / len(prompts):.2f} | {alone / own:.2f} |")


def config_of(draws: int, tokens: int) -> Config:
    """The configuration of the benchmark against brute force, with other numbers."""
    base = settings(BEFORE)
    return base.model_copy(
        update={
            "model": base.model.model_copy(update={"max_new_tokens": tokens, "batch_rows": 0}),
            "estimate": base.estimate.model_copy(update={"samples_per_prompt": draws}),
        }
    )


def some_prompts(number: int) -> list[Prompt]:
    """Everyday prompts, again under other ids where there are too few."""
    known = read_prompts(PROMPTS, ())
    return [replace(known[i % len(known)], id=f"p{i}") for i in range(number)]


def cost(session: Session, prompts: list[Prompt], size: int) -> float:
    """Seconds of the processor for all prompts, so many at once."""
    before = time.process_time()
    for first in range(0, len(prompts), size):
        session.estimate_many(prompts[first : first + size], keep=True)
    return time.process_time() - before


if __name__ == "__main__":
    main()
