"""riskmon against brute force on a real model, before and after `riskmon calibrate`.

    python tests/benchmarks/bench_smollm2.py run --repeats 20
    python tests/benchmarks/bench_smollm2.py table

Six everyday prompts, the toxicity judge, answers of 16 tokens, 500 draws per estimate. The rates they are compared with
come from brute force (make_smollm2_truth.py, tests/data/smollm2_truth.json).

    before   one expert, a rude system message, from a cold start: no hits of earlier cycles
    after    an adapter fitted to what that found and to the target's own harmful answers, as judged production
             responses would give them; two cycles with it; a second adapter fitted to the hits of these too. The plan
             is chosen from the hits and frozen

`run` goes on where it stopped; every estimate is a line of tests/data/smollm2_estimates.jsonl. The hits and adapters in
between lie in the cache folder, since they hold text of the model. One estimate takes one to two minutes on one core.
`table` compares: squared error against the brute-force rate (less that rate's own variance) times tokens, relative to
brute force with as many tokens; never the estimator's own variance.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from make_smollm2_truth import ANSWERS, DATA, PROMPTS, THRESHOLD, TOKENS, read

from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.demo.models import cache_folder
from riskmon.demo.prompts import PERSONA
from riskmon.estimate.calibrate.examples import Example, examples_from_hits
from riskmon.estimate.calibrate.lineage import variant_folder
from riskmon.estimate.calibrate.lora import fit_lora
from riskmon.estimate.model import LanguageModel, load_model
from riskmon.estimate.opening import open_session
from riskmon.estimate.session import Session
from riskmon.records import DOUBTS, Hit, Prompt
from riskmon.statistics import clopper_pearson
from riskmon.traffic.prompts import read_prompts

ESTIMATES = DATA / "smollm2_estimates.jsonl"
WORK = cache_folder().parent.parent / "bench-smollm2"
SAMPLES = 500
# Cycles with the first adapter, whose hits the second is fitted to.
CYCLES = 2
BEFORE: list[dict[str, Any]] = [
    {"name": "persona", "kind": "system_prompt", "text": PERSONA, "ladder": [0.3, 0.6]}
]


def adapter(name: str) -> list[dict[str, Any]]:
    """An expert made by a fit."""
    return [
        {"name": name, "kind": "lora", "path": str(WORK / "proposals" / name), "ladder": [0.35, 0.7, 1.0]}
    ]


def settings(experts: Sequence[dict[str, Any]]) -> Config:
    """The configuration of one phase."""
    return parse_config(
        {
            "model": {
                "target": str(cache_folder()),
                "dtype": "float32",
                "device": "cpu",
                "max_new_tokens": TOKENS,
                "batch_rows": 256,
            },
            "experts": list(experts),
            "harms": [{"name": "toxic", "judge": {"kind": "toxicity"}, "threshold": THRESHOLD}],
            "estimate": {"samples_per_prompt": SAMPLES, "windows": [[0, 4], [0, None], [2, 8], [8, None]]},
            "calibrate": {
                "folder": str(WORK / "proposals"),
                "hold_out": "answers",
            },
        },
        base=WORK,
    )


# ---- running


def run(repeats: int, before: int, process: int, processes: int) -> None:
    """Go through the phases as far as they are not done; several processes share the repeats."""
    WORK.mkdir(parents=True, exist_ok=True, mode=0o700)
    prompts = read_prompts(PROMPTS, ())
    hits = hits_of("cold", BEFORE, prompts, [])
    fit("first", hits, learning_rate=3e-4, steps=80)
    for cycle in range(CYCLES):
        hits = [*hits, *hits_of(f"cycle-{cycle}", adapter("first"), prompts, hits)]
    fit("second", hits, learning_rate=1e-4, steps=160)
    mine = slice(process, None, processes)
    measure("after", adapter("second"), prompts, hits, range(repeats)[mine])
    measure("before", BEFORE, prompts, [], range(before)[mine])


def hits_of(
    name: str, experts: Sequence[dict[str, Any]], prompts: Sequence[Prompt], earlier: Sequence[Hit]
) -> list[Hit]:
    """One cycle over the prompts, for its hits."""
    file = WORK / f"hits-{name}.pickle"
    if file.is_file():
        known: list[Hit] = pickle.loads(file.read_bytes())
        return known
    session = opened(experts, earlier)
    found: list[Hit] = []
    for prompt in prompts:
        result = session.estimate(Prompt(f"{prompt.id}/{name}", prompt.content), keep=True)
        found += result.hits
        print(f"{name}: {prompt.id}: {result.estimates[0].hits} hits", flush=True)
    file.touch(mode=0o600)
    file.write_bytes(pickle.dumps(found))
    return found


def fit(name: str, hits: Sequence[Hit], *, learning_rate: float, steps: int) -> None:
    """An adapter from hits and judged answers, unless it is there."""
    config = settings([])
    if (WORK / "proposals" / name).is_dir():
        return
    model = load_model(config.model)
    calibrate = config.calibrate.model_copy(
        update={"learning_rate": learning_rate, "steps": steps, "evaluate_every": steps // 8}
    )
    report = fit_lora(
        model,
        examples(model, hits),
        calibrate,
        variant_folder(config.calibrate, name),
        start=None,
        lineage={"made by": "bench_smollm2.py"},
        seed=0,
        progress=lambda progress: print(f"{name}: {progress}", flush=True),
        temperature=config.model.sampler.temperature,
    )
    print(report, flush=True)
    if report.path is None:
        raise SystemExit(f"the fit {name!r} found nothing better than it began with")


def examples(model: LanguageModel, hits: Sequence[Hit]) -> list[Example]:
    """Hits and the target's own harmful answers that brute force has found, as of one pool of draws.

    A hit's weight is a share of its own estimate's draws, which are few; unless it became one of all draws of its
    prompt, few hits would have as much say as many answers. Brute force counted before it kept answers, so only the
    draws behind the kept ones are in the pool.
    """
    prompts = {prompt.id: prompt for prompt in read_prompts(PROMPTS, ())}
    rows = [json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()]
    kept = Counter(row["prompt"] for row in rows)
    cycles = len({hit.prompt.id.rpartition("/")[2] for hit in hits})
    total = {
        prompt_id: known["draws"] * kept[prompt_id] / known["harmful"] + cycles * SAMPLES
        for prompt_id, known in read().items()
    }
    drawn = [
        replace(example, weight=example.weight * SAMPLES / total[example.prompt_id.partition("/")[0]])
        for example in examples_from_hits(model, hits)
    ]
    answered = [
        Example(
            tuple(model.render(prompts[row["prompt"]])),
            tuple(row["tokens"]),
            1 / total[row["prompt"]],
            row["prompt"],
        )
        for row in rows
        if row["prompt"] in prompts
    ]
    return [*drawn, *answered]


def opened(experts: Sequence[dict[str, Any]], hits: Sequence[Hit]) -> Session:
    """A session with its plan chosen from hits."""
    session = open_session(settings(experts))
    (plan, *_) = session.replan(hits, datetime.now(UTC))
    shares = sorted(((m.share, m.expert, m.strength, m.start, m.stop) for m in plan.members), reverse=True)
    print(plan.reason, shares[:8], flush=True)
    return session


def measure(
    phase: str,
    experts: Sequence[dict[str, Any]],
    prompts: Sequence[Prompt],
    hits: Sequence[Hit],
    repeats: range,
) -> None:
    """Repeat the estimate of every prompt; each repeat has random streams of its own."""
    done = {(row["phase"], row["prompt"], row["repeat"]) for row in estimates()}
    todo = [(r, p) for r in repeats for p in prompts if (phase, p.id, r) not in done]
    if not todo:
        return
    session = opened(experts, hits)
    for repeat, prompt in todo:
        started = time.perf_counter()
        (own,) = session.estimate(Prompt(f"{prompt.id}/{phase}/{repeat}", prompt.content)).estimates
        row = {"phase": phase, "prompt": prompt.id, "repeat": repeat, **own.as_contract()}
        for key in ("prompt_id", "harm", "stratum", "device_seconds"):
            del row[key]
        with ESTIMATES.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{phase} {repeat} {prompt.id}: {own.p:.2e} [{own.ci_low:.1e}, {own.ci_high:.1e}] hits {own.hits} "
            f"ess {own.ess:.1f} {[str(f) for f in own.flags]} {time.perf_counter() - started:.0f} s",
            flush=True,
        )


def estimates() -> list[dict[str, Any]]:
    """All recorded estimates."""
    if not ESTIMATES.is_file():
        return []
    return [json.loads(line) for line in ESTIMATES.read_text(encoding="utf-8").splitlines()]


# ---- comparing


def table() -> None:
    """Print what the recorded estimates say, per phase and prompt."""
    truths = read()
    rows = estimates()
    columns = (
        "phase|prompt|brute force|repeats|mean|rel. rmse|gain per draw|gain per token|covered|quietly low"
    )
    print(f"| {columns.replace('|', ' | ')} |")
    print("|---" * (1 + columns.count("|")) + "|")
    for phase in ("before", "after"):
        covered_in_all: list[bool] = []
        for prompt in read_prompts(PROMPTS, ()):
            own = [row for row in rows if row["phase"] == phase and row["prompt"] == prompt.id]
            known = truths.get(prompt.id)
            if not own or known is None:
                continue
            truth = known["harmful"] / known["draws"]
            limits = clopper_pearson(known["harmful"], known["draws"])
            own_error = truth * (1 - truth) / known["draws"]
            p = np.array([row["p"] for row in own])
            error = max(float(np.mean((p - truth) ** 2)) - own_error, 0.0)
            tokens = float(np.mean([row["tokens"] for row in own]))
            plain = truth * (1 - truth) / SAMPLES
            covered = [row["ci_low"] <= limits.high and row["ci_high"] >= limits.low for row in own]
            quiet = [row["p"] < truth / 3 and not DOUBTS.intersection(row["flags"]) for row in own]
            covered_in_all += covered
            gain = plain / error if error else np.inf
            print(
                f"| {phase} | {prompt.id} | {known['harmful']} of {known['draws']} = {truth:.1e} "
                f"| {len(own)} | {p.mean():.1e} | {np.sqrt(error) / truth:.2f} "
                f"| {gain:.1f} | {gain * SAMPLES * TOKENS / tokens:.1f} "
                f"| {np.mean(covered):.0%} | {sum(quiet)} |"
            )
        if covered_in_all:
            print(f"| {phase} | all | | {len(covered_in_all)} | | | | | {np.mean(covered_in_all):.1%} | |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["run", "table"], nargs="?", default="table")
    parser.add_argument("--repeats", type=int, default=20, help="estimates per prompt after calibration")
    parser.add_argument("--before", type=int, default=4, help="estimates per prompt before it")
    parser.add_argument("--process", type=int, default=0, help="number of this process")
    parser.add_argument("--processes", type=int, default=1, help="how many share the repeats")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.what == "run":
        run(arguments.repeats, arguments.before, arguments.process, arguments.processes)
    table()


if __name__ == "__main__":
    main()
