"""A harm mode that no proposal reaches: is it noticed, is it bounded, and is it mended?

Forty prompts share a missed mode (the same text under forty ids, hence independent streams). One prompt's few draws of
the target seldom meet it, all prompts' together do: the uncovered hits among their draws of the target bound its mass.
Then it is mended as in operation: a LoRA adapter is fitted to the hits of the cycle before, joins the experts, and the
next cycle is planned from all hits. After two such cycles the estimates of the same prompts are compared to the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from riskmon.bench.runs import NOW, estimate_once
from riskmon.bench.tiny import PROMPT
from riskmon.bench.worlds import World
from riskmon.config import CalibrateConfig
from riskmon.estimate.calibrate.examples import examples_from_hits
from riskmon.estimate.calibrate.lora import fit_lora
from riskmon.estimate.coverage import gap_hits
from riskmon.estimate.model import LanguageModel
from riskmon.estimate.opening import open_session
from riskmon.estimate.proposals import count_draws, log_densities
from riskmon.estimate.session import Session
from riskmon.estimate.weights import Weights
from riskmon.records import Estimate, Hit, Prompt
from riskmon.statistics.binomial import Limits, clopper_pearson

PROMPTS = 40
ADAPTER = "refit"
# An estimate within this factor of the truth is right for the purpose.
FACTOR = 2.0

# A tiny target takes larger steps than a real one.
_STEPS, _RATE, _BATCH = 200, 5e-3, 32


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """One cycle over all prompts.

    Attributes:
        estimates: one per prompt. hits: what the next cycle learns from.
    """

    estimates: tuple[Estimate, ...]
    hits: tuple[Hit, ...]

    @property
    def uncovered(self) -> Limits:
        """95% limits of the missed mass, pooled over the prompts' draws of the target."""
        return clopper_pearson(
            sum(estimate.gap_hits for estimate in self.estimates),
            sum(estimate.target_draws for estimate in self.estimates),
        )

    def near(self, truth: float) -> float:
        """Share of the estimates that lie within FACTOR of the truth."""
        close = [truth / FACTOR <= estimate.p <= truth * FACTOR for estimate in self.estimates]
        return float(np.mean(close))


def run_cycle(session: Session, prompts: Sequence[str], hits: Sequence[Hit] = ()) -> Cycle:
    """Estimate prompts of the same text, planned from earlier hits.

    Args:
        prompts: their ids.
    """
    session.replan(hits, NOW)
    estimates: list[Estimate] = []
    found: list[Hit] = []
    for name in prompts:
        estimate, own = estimate_once(session, Prompt(name, PROMPT))
        estimates.append(estimate)
        found += own
    return Cycle(tuple(estimates), tuple(found))


def prompt_names(run: int, cycle: int, prompts: int = PROMPTS) -> list[str]:
    """Ids of the prompts, each with a stream of its own in every cycle of every run."""
    return [f"missed-{run}-{cycle}-{i}" for i in range(prompts)]


def mend(
    world: World,
    first: Cycle,
    run: int,
    folder: Path,
    *,
    samples: int,
    seed: int,
    prompts: int = PROMPTS,
    done: Callable[[], None] = lambda: None,
) -> Cycle:
    """Two further cycles, each behind a refit; returns the last.

    Args:
        first: the cycle that met the missed mode, or did not.
        run: number of the run. folder: for the adapters, empty.
        samples, seed: as of the first cycle.
        done: called after each cycle.
    """
    settings = CalibrateConfig(
        folder=folder, steps=_STEPS, learning_rate=_RATE, batch_size=_BATCH, rank=8, alpha=16
    )
    cycle, hits = first, list(first.hits)
    adapter: Path | None = None
    for number in (1, 2):
        adapter = _refit(world, cycle.hits, settings, adapter, samples=samples, seed=seed) or adapter
        session = open_session(
            world.config(samples=samples, seed=seed, adapters={} if adapter is None else {ADAPTER: adapter})
        )
        cycle = run_cycle(session, prompt_names(run, number, prompts), hits)
        hits += cycle.hits
        done()
    return cycle


def _refit(
    world: World,
    hits: Sequence[Hit],
    settings: CalibrateConfig,
    start: Path | None,
    *,
    samples: int,
    seed: int,
) -> Path | None:
    """Folder of a new adapter; None where it would be no better than the one before."""
    model = open_session(world.config(samples=samples, seed=seed)).model
    assert isinstance(model, LanguageModel)
    report = fit_lora(
        model,
        examples_from_hits(model, hits),
        settings,
        settings.folder / ADAPTER,
        start=start,
        lineage={"made_by": "riskmon bench"},
        seed=seed,
        progress=lambda _: None,
    )
    return report.path


@torch.inference_mode()
def exact_missed_mass(world: World, session: Session) -> float:
    """Exact probability of what the audit counts under the plan in force: a harmful answer of weight near its cap."""
    prompt = Prompt("exact", PROMPT)
    chosen = world.harmful
    answers = [
        row[:length].tolist()
        for row, length in zip(world.answers.tokens[chosen], world.answers.lengths[chosen], strict=True)
    ]
    mixture = session.planner.mixture(prompt.stratum)
    counts = count_draws(mixture, session.config.samples_per_prompt, session.config.defensive_share)
    log_q = log_densities(session.engine.score(prompt, answers), mixture.proposals)  # [K, N]
    log_p = world.answers.log_probs[chosen].numpy()
    shares = np.log(counts / counts.sum())[:, None]
    weights = Weights(
        log_weights=log_p - np.logaddexp.reduce(log_q + shares, axis=0),
        proposal=np.zeros(len(answers), dtype=np.int64),
        bound=float(counts.sum() / counts[0]),
    )
    uncovered = gap_hits(weights, np.ones(len(answers), dtype=np.bool_))
    return float(np.exp(log_p[uncovered]).sum())
