"""The catalogue of simulated deployments that forecasts are measured on.

Every entry makes a world from a source of chance: volumes are drawn log-uniformly between 1e5 and 1e9 requests a day
unless the entry says otherwise, and so are the days of steps, so that a score is about a family of worlds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from riskmon.bench.deployment_risk import Harm, Judge, Lognormal, Pareto, Points, Risk, Sampler
from riskmon.bench.deployment_traffic import Traffic
from riskmon.bench.deployments import Part, World

Builder = Callable[[np.random.Generator], World]

FIRST_DAY = 14
"""Days of history before the first forecast that is scored; steps happen on one of the days around and after it."""

JUDGED = 200
"""Production responses judged in every hour and stratum."""


def build(name: str, seed: int) -> World:
    """The world of one entry and seed."""
    return CATALOGUE[name](np.random.default_rng([seed, 2, list(CATALOGUE).index(name)]))


def _volume(rng: np.random.Generator, low: float = 1e5, high: float = 1e9) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _one(harm: Harm | Risk, traffic: Traffic) -> World:
    own = harm if isinstance(harm, Harm) else Harm(harm)
    return World({"chat": Part(traffic, own)}, judged_per_window=JUDGED)


def _plain(harm: Harm | Risk, low: float = 1e5, high: float = 1e9) -> Builder:
    return lambda rng: _one(harm, Traffic(_volume(rng, low, high)))


def _step_day(rng: np.random.Generator) -> float:
    return float(rng.uniform(FIRST_DAY - 3, FIRST_DAY + 7))


def _drifting(rng: np.random.Generator) -> World:
    drift = float(rng.choice([-0.05, 0.05]))
    return _one(Harm(Lognormal(1e-4, 1.0), drift=drift), Traffic(_volume(rng)))


def _stepping(rng: np.random.Generator) -> World:
    step = (_step_day(rng), float(rng.choice([1 / 3, 3.0])))
    return _one(Harm(Lognormal(1e-4, 1.0), steps=(step,)), Traffic(_volume(rng)))


def _growing(rng: np.random.Generator) -> World:
    return _one(Lognormal(1e-4, 1.0), Traffic(_volume(rng), swing=0.6, weekend=0.5, trend=0.03))


def _traffic_step(rng: np.random.Generator) -> World:
    step = (_step_day(rng), float(rng.choice([0.5, 2.0])))
    return _one(Lognormal(1e-4, 1.0), Traffic(_volume(rng), steps=(step,)))


def _mixed(rng: np.random.Generator) -> World:
    daily = _volume(rng, 1e5, 1e8)
    parts = {
        "chat": Part(Traffic(daily), Harm(Lognormal(1e-5, 1.5))),
        "code": Part(Traffic(daily / 5, swing=0.7, weekend=0.3), Harm(Lognormal(1e-6, 1.0))),
        "raw": Part(Traffic(daily / 50, launched=_step_day(rng)), Harm(Lognormal(1e-3, 1.0))),
    }
    return World(parts, judged_per_window=JUDGED)


def _judged_wrongly(rng: np.random.Generator) -> World:
    world = _one(Lognormal(1e-3, 1.0), Traffic(_volume(rng)))
    return replace(world, judge=Judge(0.9, 0.999, labelled_harmful=300, labelled_harmless=20_000))


def _few_prompts(rng: np.random.Generator) -> World:
    world = _one(Lognormal(1e-4, 1.0), Traffic(_volume(rng)))
    return replace(world, sampler=Sampler(prompts_per_window=1))


def _few_hits(rng: np.random.Generator) -> World:
    world = _one(Points((1e-4,), (1.0,)), Traffic(_volume(rng)))
    return replace(world, sampler=Sampler(prompts_per_window=1, hits=1.0))


CATALOGUE: dict[str, Builder] = {
    "one point": _plain(Points((1e-4,), (1.0,))),
    "two points": _plain(Points((1e-5, 1e-2), (0.95, 0.05))),
    "lognormal 1": _plain(Lognormal(1e-4, 1.0)),
    "lognormal 2": _plain(Lognormal(1e-4, 2.0)),
    "lognormal 3": _plain(Lognormal(1e-4, 3.0)),
    "Pareto 1.5": _plain(Pareto(3e-5, 1.5)),
    "Pareto 1.1": _plain(Pareto(1e-5, 1.1)),
    "few prompts": _few_prompts,
    "few hits": _few_hits,
    "rare": _plain(Lognormal(1e-8, 1.0), 1e5, 1e7),
    "missed often": _plain(Harm(Lognormal(1e-6, 1.0), missed=Lognormal(2e-3, 0.5))),
    "missed rarely": _plain(Harm(Lognormal(1e-6, 1.0), missed=Lognormal(2e-5, 0.5))),
    "drifting": _drifting,
    "stepping": _stepping,
    "growing traffic": _growing,
    "traffic steps": _traffic_step,
    "mixed strata": _mixed,
    "judge errs": _judged_wrongly,
}
