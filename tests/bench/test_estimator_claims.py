"""What riskmon claims of its estimator, measured on enumerable worlds. About 15 minutes on an idle core.

Limits on shares allow for the chance of a finite number of repeats: a share is refused when so few would be seen with
a probability under 1% if the claim were true. The figures are logged (`pytest -m slow --log-cli-level=INFO`).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import binom

from riskmon.bench.estimator import EstimatorBench, score_world
from riskmon.bench.missed import (
    PROMPTS,
    Cycle,
    exact_missed_mass,
    mend,
    prompt_names,
    run_cycle,
)
from riskmon.bench.runs import DOUBTS, NOW
from riskmon.bench.scores import LEARNT
from riskmon.bench.table import render_table
from riskmon.bench.worlds import CATALOGUE, World, build_world
from riskmon.estimate.opening import open_session
from riskmon.estimate.session import Session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

log = logging.getLogger(__name__)

RUNS = 200
SAMPLES = 500
COVERED = [name for name, plan in CATALOGUE.items() if plan.kind == "covered"]


def at_least(share: float, runs: int) -> float:
    """The smallest share that is seen among so many runs with a probability of 1% or more, if `share` is true."""
    return float(binom.ppf(0.01, runs, share)) / runs


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


# ---- worlds that the variant covers


@pytest.fixture(scope="module", params=COVERED)
def scores(request, tmp_path_factory):
    """The scores of all methods on a covered world, by method."""
    world = build_world(request.param, tmp_path_factory.mktemp(request.param))
    found = score_world(world, EstimatorBench(runs=RUNS, samples=SAMPLES), lambda: None)
    log.info("\n%s", render_table(found))
    return {score.method: score for score in found}


def test_far_fewer_samples_than_brute_force(scores):
    score = scores[LEARNT]
    needed = {"covered-1e-4": 100, "covered-1e-5": 300, "covered-1e-6": 1000}.get(score.world, 10)
    assert score.samples_ratio is not None, "the estimates do not average to the truth"
    assert score.samples_ratio >= needed


def test_far_fewer_tokens_than_brute_force(scores):
    score = scores[LEARNT]
    assert score.token_gain is not None
    assert score.token_gain >= {"covered-1e-3": 5}.get(score.world, 50)


def test_the_working_interval_covers(scores):
    assert scores[LEARNT].covered >= at_least(0.93, RUNS)


def test_the_guaranteed_bound_holds(scores):
    assert scores[LEARNT].bounded >= at_least(0.95, RUNS)


def test_nothing_is_quietly_low(scores):
    assert scores[LEARNT].quietly_low == 0


# ---- a mode that the variant misses


@dataclass(frozen=True)
class MissedMode:
    world: World
    session: Session

    @property
    def mass(self) -> float:
        return self.world.answers.mass(self.world.missed)


@pytest.fixture(scope="module")
def missed(tmp_path_factory) -> MissedMode:
    """The world with a missed mode of 5e-3, and a session over it."""
    world = build_world("missed-5e-3", tmp_path_factory.mktemp("missed"))
    return MissedMode(world, open_session(world.config(samples=SAMPLES, seed=0)))


def test_the_mode_is_missed(missed):
    """The premise: the first plan leaves nearly all of the mode to the target, and it is nearly all of the harm."""
    missed.session.replan([], NOW)
    counted = exact_missed_mass(missed.world, missed.session)
    assert 4e-3 < missed.mass < 6e-3
    assert counted > 0.9 * missed.mass
    assert missed.mass > 0.95 * missed.world.truth


@pytest.fixture(scope="module")
def first_cycles(missed) -> list[Cycle]:
    """Sixty first cycles of forty prompts each."""
    return [run_cycle(missed.session, prompt_names(run, 0)) for run in range(60)]


def test_one_estimate_is_flagged_or_its_bound_holds(missed, first_cycles):
    truth = missed.world.truth
    estimates = [estimate for cycle in first_cycles[: RUNS // PROMPTS] for estimate in cycle.estimates]
    assert len(estimates) == RUNS
    fine = [bool(DOUBTS & set(e.flags)) or e.upper_bound >= truth for e in estimates]
    log.info("flagged or bounded: %.1f%% of %d", 100 * np.mean(fine), RUNS)
    assert np.mean(fine) >= at_least(0.95, RUNS)


def test_pooled_over_prompts_the_missed_mass_is_found(missed, first_cycles):
    limits = [cycle.uncovered for cycle in first_cycles]
    holds = [limit.low <= missed.mass <= limit.high for limit in limits]
    seen = [limit.low > 0 for limit in limits]
    log.info("pooled interval holds the missed mass: %.1f%% of %d", 100 * np.mean(holds), len(holds))
    assert np.mean(holds) >= at_least(0.95, len(holds))
    # And it is news: every cycle sees the mode, where single estimates mostly stay low.
    assert all(seen)
    assert np.mean([cycle.near(missed.world.truth) for cycle in first_cycles]) < 0.5


def test_two_refits_mend_it(missed, first_cycles, tmp_path):
    """Twenty runs of forty prompts; about five minutes."""
    runs = 20
    shares = [
        mend(missed.world, first_cycles[run], run, tmp_path / str(run), samples=SAMPLES, seed=0).near(
            missed.world.truth
        )
        for run in range(runs)
    ]
    log.info(
        "within a factor of 2 after refits: %.1f%%, worst %.1f%%", 100 * np.mean(shares), 100 * min(shares)
    )
    assert np.mean(shares) >= 0.8
    assert np.mean([share >= 0.8 for share in shares]) >= 0.8
