"""Whether a forecast names what makes it unsharp: worlds in which one thing is in doubt more than all others.

In come seeds, out comes a row per part of `VarianceShares`. What is true is measured and not declared: over all seeds
of an entry the mean square of each part of the error (`deployment_scores`), relative to the count that was to be
expected. The part with the largest is the dominant one, and a forecast is right that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from riskmon.bench.deployment_risk import Harm, Judge, Lognormal, Points, Risk, Sampler
from riskmon.bench.deployment_scores import run_worlds
from riskmon.bench.deployment_traffic import Traffic
from riskmon.bench.deployments import Part, World
from riskmon.bench.markdown import markdown_table

# What the forecast calls the parts of an error; drift it cannot know.
_CALLED = {"volume": "volume", "judge": "judge", "within": "samples", "prompts": "prompts", "count": "chance"}
_HEADER = ("in doubt", "forecasts", "its share of the squared error", "named")


def _world(risk: Risk, traffic: Traffic) -> World:
    return World({"chat": Part(traffic, Harm(risk))}, days=16)


def _daily(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _calm(rng: np.random.Generator) -> Traffic:
    return Traffic(_daily(rng, 1e8, 1e9), hour_noise=0.02, day_noise=0.01)


def _volume(rng: np.random.Generator) -> World:
    daily, noise = _daily(rng, 1e7, 1e9), float(rng.uniform(0.15, 0.4))
    return _world(Lognormal(1e-4, 0.5), Traffic(daily, hour_noise=noise, day_noise=noise))


def _prompts(rng: np.random.Generator) -> World:
    world = _world(Lognormal(1e-4, float(rng.uniform(1.0, 1.8))), _calm(rng))
    return replace(world, sampler=Sampler(prompts_per_window=int(rng.integers(1, 4))))


def _samples(rng: np.random.Generator) -> World:
    world = _world(Lognormal(1e-4, float(rng.uniform(0.0, 0.5))), _calm(rng))
    return replace(world, sampler=Sampler(prompts_per_window=int(rng.integers(1, 4)), hits=1.0))


def _judge(rng: np.random.Generator) -> World:
    few = int(rng.integers(20, 80))
    world = _world(Points((1e-3,), (1.0,)), _calm(rng))
    return replace(world, judge=Judge(0.7, 0.9999, labelled_harmful=few, labelled_harmless=200_000))


def _chance(rng: np.random.Generator) -> World:
    return _world(Lognormal(1e-7, 0.5), Traffic(_daily(rng, 1e6, 3e7)))


SPREADS: Mapping[str, Callable[[np.random.Generator], World]] = {
    "volume": _volume,
    "prompts": _prompts,
    "samples": _samples,
    "judge": _judge,
    "chance": _chance,
}
"""By the part that is meant to dominate."""


@dataclass(frozen=True, slots=True)
class SpreadScore:
    """One entry over its seeds.

    Attributes:
        meant: name of the entry. dominant: the part with the largest mean square. share: its share of them.
        forecasts: how many. named: share of them that name it.
    """

    meant: str
    dominant: str
    share: float
    forecasts: int
    named: float


def score_spread(entry: str, seeds: Sequence[int], *, done: Callable[[], None] = lambda: None) -> SpreadScore:
    """Forecast one day of every seed's world, and see what the forecasts name.

    Args:
        entry: name in SPREADS. seeds: one world each. done: called once a seed.
    """
    outcomes = run_worlds(
        lambda seed: SPREADS[entry](np.random.default_rng([seed, 7, list(SPREADS).index(entry)])),
        seeds,
        days=[0],
        done=done,
    )
    squares = {
        called: float(np.mean([(outcome.parts[part] / max(outcome.mean, 1e-9)) ** 2 for outcome in outcomes]))
        for part, called in _CALLED.items()
    }
    dominant = max(squares, key=lambda part: squares[part])
    shares = [outcome.forecast.variance for outcome in outcomes]
    return SpreadScore(
        meant=entry,
        dominant=dominant,
        share=squares[dominant] / sum(squares.values()),
        forecasts=len(outcomes),
        named=float(np.mean([one is not None and one.dominant == dominant for one in shares])),
    )


def render(scores: Sequence[SpreadScore]) -> str:
    """The scores as a Markdown table."""
    rows = ((s.dominant, str(s.forecasts), f"{s.share:.0%}", f"{s.named:.1%}") for s in scores)
    return markdown_table(_HEADER, rows, names=(_HEADER[0],))
