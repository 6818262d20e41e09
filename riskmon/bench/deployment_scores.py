"""How right the forecasts of simulated deployments are.

In come entries of the catalogue and seeds; every seed is one world, forecast with `make_forecasts` on a few days of its
life and held against what really happened. Out comes a row per entry.

**The error of one forecast, taken apart.** With V and q the forecast volume and rate, N and C the requests and harmful
outputs that came, p1 the mean of p on those days, p0 that of the days the estimates are from, s the mean true p of the
sampled prompts and r that of their estimates, with the judge's true errors taken out,

    V q - C  =  (V - N) q          volume
              + N (q - r)          judge: its measured errors are not its true ones
              + N (r - s)          within: the error of the estimates
              + N (s - p0)         prompts: which ones were sampled
              + N (p0 - p1)        drift: p moved, which nothing in the forecast knows
              + (N p1 - C)         count

exactly. The squares of the parts, as shares of their sum and averaged over forecasts, say which part dominates; shares,
since the worlds of an entry differ a thousandfold in volume.

**Where the sample allows it.** The floor is the median multiplicative error of a forecast that knows N and p1 / p0 and
has only its sample to go by, N r p1 / p0 against C. It is what prompts, hits and the count's own chance cost; no volume
model can do better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from riskmon.bench.deployment_traffic import DAY, HOUR, START
from riskmon.bench.deployment_worlds import FIRST_DAY, build
from riskmon.bench.deployments import HARM, Deployment, World, simulate
from riskmon.bench.markdown import markdown_table
from riskmon.config import ForecastConfig
from riskmon.forecast import make_forecasts
from riskmon.records import Forecast, Horizon
from riskmon.statistics import corrected_rate

PARTS = ("volume", "judge", "within", "prompts", "drift", "count")

_HEADER = (
    "deployment",
    "forecasts",
    "90% holds",
    "above",
    "below",
    "upper / expected",
    "error",
    "floor",
    "days counted",
    "error comes from",
)

COUNTED = 20
"""Harmful outputs from which on a multiplicative error is read off a single day."""


_DAYS = (0, 3, 5)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One forecast of the total and what came.

    Attributes:
        seed: of the world. forecast: as made. harmful: what came. mean: what was to be expected given the requests.
        ideal: N r p1 / p0. parts: the error taken apart, by the names of PARTS.
    """

    seed: int
    forecast: Forecast
    harmful: int
    mean: float
    ideal: float
    parts: dict[str, float]

    @property
    def held(self) -> bool:
        """Whether the 90% interval holds the count."""
        return self.forecast.lower <= self.harmful <= self.forecast.upper


@dataclass(frozen=True, slots=True)
class EntryScore:
    """One entry of the catalogue, over its seeds.

    Attributes:
        forecasts: how many. held: share of 90% intervals that hold the count, with its standard error over seeds.
        above, below: share of counts above and below the interval.
        width: median of upper / max(expected, 1). counted: share of days with at least COUNTED harmful outputs.
        error, floor: median multiplicative error of the forecast and of its sample alone, over those days; None
            without any.
        dominant: the part with the largest share of a forecast's squared parts, on average. share: that share.
    """

    entry: str
    forecasts: int
    held: float
    held_error: float
    above: float
    below: float
    width: float
    counted: float
    error: float | None
    floor: float | None
    dominant: str
    share: float


def run_entry(
    entry: str,
    seeds: Sequence[int],
    *,
    days: Sequence[int] = _DAYS,
    config: ForecastConfig | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Forecast the worlds of an entry.

    Args:
        entry: name in the catalogue.
        seeds: one world each.
        days: on which days after FIRST_DAY to forecast, each at another hour.
        config: of the forecast; the default draws 1,000.
        done: called once a seed.
    """
    return run_worlds(lambda seed: build(entry, seed), seeds, days=days, config=config, done=done)


def run_in_turn(entry: str, seeds: int, *, done: Callable[[], None] = lambda: None) -> list[Outcome]:
    """Forecast as many worlds of an entry once each, on one of the days of `run_entry` in turn."""
    return [
        outcome
        for turn, day in enumerate(_DAYS)
        for outcome in run_entry(entry, range(turn, seeds, len(_DAYS)), days=[day], done=done)
    ]


def run_worlds(
    build_world: Callable[[int], World],
    seeds: Sequence[int],
    *,
    days: Sequence[int] = _DAYS,
    config: ForecastConfig | None = None,
    done: Callable[[], None] = lambda: None,
) -> list[Outcome]:
    """Forecast worlds, one per seed; arguments as those of `run_entry`."""
    outcomes = []
    for seed in seeds:
        deployment = simulate(build_world(seed), seed)
        for day in days:
            now = START + (FIRST_DAY + day) * DAY + (7 * day % 24) * HOUR
            outcomes.append(_outcome(deployment, now, config or ForecastConfig(draws=1000)))
        done()
    return outcomes


def forecast_at(deployment: Deployment, now: datetime, config: ForecastConfig) -> list[Forecast]:
    """What riskmon would forecast of a deployment at a moment, strata and total."""
    return make_forecasts(
        config,
        window=HOUR,
        windows=deployment.windows(now),
        estimates=deployment.estimates(now, 2 * DAY),
        harms=[HARM],
        now=now,
        rng=np.random.default_rng([deployment.seed, 3, int(now.timestamp())]),
        coverage=deployment.coverage(now),
        judge_errors=deployment.judge_errors,
    )


def score(entry: str, outcomes: Sequence[Outcome]) -> EntryScore:
    """Sum up the outcomes of an entry."""
    held = np.array([outcome.held for outcome in outcomes])
    harmful = np.array([outcome.harmful for outcome in outcomes])
    seeds = np.array([outcome.seed for outcome in outcomes])
    # Days of one world share its traffic and its luck; worlds are independent.
    by_world = np.array([held[seeds == seed].mean() for seed in np.unique(seeds)])
    counted = [outcome for outcome in outcomes if outcome.harmful >= COUNTED]
    squares = np.array([[outcome.parts[part] ** 2 for part in PARTS] for outcome in outcomes])  # [F, parts]
    shares = (squares / np.maximum(squares.sum(axis=1, keepdims=True), 1e-300)).mean(axis=0)
    largest = int(np.argmax(shares))
    upper = np.array([outcome.forecast.upper for outcome in outcomes])
    lower = np.array([outcome.forecast.lower for outcome in outcomes])
    expected = np.array([outcome.forecast.expected for outcome in outcomes])
    return EntryScore(
        entry=entry,
        forecasts=len(outcomes),
        held=float(held.mean()),
        held_error=float(by_world.std(ddof=1) / np.sqrt(len(by_world))) if len(by_world) > 1 else np.inf,
        above=float((harmful > upper).mean()),
        below=float((harmful < lower).mean()),
        width=float(np.median(upper / np.maximum(expected, 1.0))),
        counted=len(counted) / len(outcomes),
        error=_median_factor([o.forecast.expected for o in counted], [o.harmful for o in counted]),
        floor=_median_factor([o.ideal for o in counted], [o.harmful for o in counted]),
        dominant=PARTS[largest],
        share=float(shares[largest]),
    )


def render(scores: Sequence[EntryScore]) -> str:
    """The scores as a Markdown table."""
    return markdown_table(_HEADER, map(_cells, scores), names=(_HEADER[0], _HEADER[-1]))


def _cells(row: EntryScore) -> tuple[str, ...]:
    return (
        row.entry,
        str(row.forecasts),
        f"{row.held:.1%} ± {row.held_error:.1%}",
        f"{row.above:.1%}",
        f"{row.below:.1%}",
        f"{row.width:.3g}",
        _figure(row.error),
        _figure(row.floor),
        f"{row.counted:.0%}",
        f"{row.dominant} {row.share:.0%}",
    )


def _outcome(deployment: Deployment, now: datetime, config: ForecastConfig) -> Outcome:
    made = forecast_at(deployment, now, config)
    truth = deployment.truth(now)
    total = next(item for item in made if item.stratum is None and item.horizon is Horizon.DAY)
    parts = dict.fromkeys(PARTS, 0.0)
    ideal = 0.0
    sampled, past = deployment.sampled_p(now), deployment.past_p(now)
    own = {item.stratum: item for item in made if item.stratum is not None}
    judge = deployment.world.judge
    for stratum, requests in truth.requests.items():
        forecast = own.get(stratum)
        volume, rate = (forecast.requests, forecast.harm_probability) if forecast else (0.0, 0.0)
        mean, count = truth.expected[stratum], truth.harmful[stratum]
        now_p = mean / requests if requests else 0.0
        # A stratum launched since has neither sample nor past: what is wrong there, drift accounts for.
        seen, judged = sampled.get(stratum, (rate, rate))
        before = past.get(stratum, rate)
        corrected = judged
        if deployment.judge_error is not None and stratum in sampled:
            corrected = float(corrected_rate(judged, judge.sensitivity, judge.specificity))
        parts["volume"] += (volume - requests) * rate
        parts["judge"] += requests * (rate - corrected)
        parts["within"] += requests * (corrected - seen)
        parts["prompts"] += requests * (seen - before)
        parts["drift"] += requests * (before - now_p)
        parts["count"] += mean - count
        ideal += requests * corrected * (now_p / before if before > 0 else 1.0)
    return Outcome(deployment.seed, total, truth.total, sum(truth.expected.values()), ideal, parts)


def _median_factor(expected: Sequence[float], harmful: Sequence[int]) -> float | None:
    if not expected:
        return None
    with np.errstate(divide="ignore"):
        return float(np.exp(np.median(np.abs(np.log(expected) - np.log(harmful)))))


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"
