"""Simulated deployments: months of traffic whose true risk is known, as riskmon would see them.

In comes a `World` (strata with traffic and harm, how prompts are sampled, how much is judged) and a seed; out comes a
`Deployment` that gives the records a forecast starts from (counts, weighted estimates, the coverage audit, the judge's
measured error), judged production responses for the back-test, and the truth: how many harmful outputs each hour made.
Counts and truth of all hours are drawn at once; estimates of a day are drawn when they are first asked for, from a
stream of their own, so the order of asking changes nothing.

Hours are counting windows. There is one harm, HARM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from riskmon.bench.deployment_risk import WEIGHT_SPREAD, Estimated, Harm, Judge, Sampler, estimate
from riskmon.bench.deployment_traffic import DAY, HOUR, START, Traffic
from riskmon.records import (
    CoverageCount,
    Estimate,
    Flag,
    FloatArray,
    IntArray,
    JudgeError,
    Stratum,
    VolumeWindow,
    WeightedEstimate,
)
from riskmon.records.backtest import JudgedWindow

HARM = "misuse"


@dataclass(frozen=True, slots=True)
class Part:
    """One stratum of a world."""

    traffic: Traffic
    harm: Harm


@dataclass(frozen=True, slots=True)
class World:
    """A deployment to be simulated.

    Attributes:
        parts: strata by name of their route.
        days: length.
        sampler: how prompts are estimated.
        judge: errors of the judge; without any, forecasts are not corrected.
        judged_per_window: production responses judged in every hour and stratum.
    """

    parts: Mapping[str, Part]
    days: int = 28
    sampler: Sampler = field(default=Sampler())
    judge: Judge = field(default=Judge())
    judged_per_window: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What really happens in 24 hours.

    Attributes:
        requests: per stratum. expected: per stratum, the mean of the count given them. harmful: per stratum, the count.
    """

    requests: Mapping[Stratum, int]
    expected: Mapping[Stratum, float]
    harmful: Mapping[Stratum, int]

    @property
    def total(self) -> int:
        """Harmful outputs over all strata."""
        return sum(self.harmful.values())


def simulate(world: World, seed: int) -> Deployment:
    """Draw a deployment."""
    hours = 24 * world.days
    rng = np.random.default_rng([seed, 0])
    parts = list(world.parts.values())
    requests = np.stack([part.traffic.draw(hours, rng) for part in parts])  # [S, H]
    day = np.arange(hours) / 24
    mean_p = np.stack([part.harm.mean(day) for part in parts])
    harmful = np.minimum(rng.poisson(requests * mean_p), requests)
    judged = np.minimum(requests, world.judged_per_window)
    caught = rng.hypergeometric(harmful, requests - harmful, judged)
    judge = world.judge
    flagged = rng.binomial(caught, judge.sensitivity) + rng.binomial(judged - caught, 1 - judge.specificity)
    return Deployment(
        world=world,
        seed=seed,
        strata=tuple(Stratum((("route", name),)) for name in world.parts),
        requests=requests,
        mean_p=mean_p,
        harmful=harmful,
        judged=judged,
        flagged=flagged,
        judge_error=_measure(judge, rng),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """A simulated deployment; S strata, H hours from START.

    Attributes:
        requests, harmful, judged, flagged: [S, H] counts. mean_p: [S, H] true mean of p.
        judge_error: as measured on simulated labels; None for a judge without errors.
    """

    world: World
    seed: int
    strata: tuple[Stratum, ...]
    requests: IntArray
    mean_p: FloatArray
    harmful: IntArray
    judged: IntArray
    flagged: IntArray
    judge_error: JudgeError | None
    _days: dict[tuple[int, int], Estimated] = field(default_factory=dict, repr=False)

    @property
    def judge_errors(self) -> dict[str, JudgeError]:
        """By harm, as forecast and back-test take it."""
        return {} if self.judge_error is None else {HARM: self.judge_error}

    def windows(self, now: datetime, history: timedelta = timedelta(days=365)) -> list[VolumeWindow]:
        """Counts of the hours that ended by `now`; hours without requests have no window."""
        hours = range(max(0, _hour(now - history)), _hour(now))
        return [
            VolumeWindow(START + hour * HOUR, stratum, requests)
            for stratum, row in zip(self.strata, self.requests.tolist(), strict=True)
            for hour in hours
            if (requests := row[hour]) > 0
        ]

    def judged_windows(self, until: datetime) -> list[JudgedWindow]:
        """Judged production responses of the hours that ended by `until`."""
        return [
            JudgedWindow(START + hour * HOUR, HARM, stratum, int(n), int(judged), int(flagged))
            for s, stratum in enumerate(self.strata)
            for hour, (n, judged, flagged) in enumerate(
                zip(self.requests[s], self.judged[s], self.flagged[s], strict=True)
            )
            if n > 0 and hour < _hour(until)
        ]

    def truth(self, now: datetime) -> Truth:
        """What the 24 hours from `now` bring."""
        span = slice(_hour(now), _hour(now) + 24)
        requests, harmful = self.requests[:, span].sum(axis=1), self.harmful[:, span].sum(axis=1)
        expected = (self.requests[:, span] * self.mean_p[:, span]).sum(axis=1)
        return Truth(
            dict(zip(self.strata, requests.tolist(), strict=True)),
            dict(zip(self.strata, expected.tolist(), strict=True)),
            dict(zip(self.strata, harmful.tolist(), strict=True)),
        )

    def estimates(self, now: datetime, lookback: timedelta = DAY) -> list[WeightedEstimate]:
        """Weighted estimates of the hours that began within the lookback and ended by `now`."""
        return [
            item
            for s in range(len(self.strata))
            for hour in range(max(0, _hour(now - lookback)), _hour(now))
            for item in self._cell(s, hour)
        ]

    def sampled_p(self, now: datetime, lookback: timedelta = DAY) -> dict[Stratum, tuple[float, float]]:
        """Weighted means over the sampled prompts of every stratum: of their true p, and of its estimates."""
        means = {}
        hours = range(max(0, _hour(now - lookback)), _hour(now))
        for s, stratum in enumerate(self.strata):
            parts = [
                (self.requests[s, hour], *self._rows(s, hour)) for hour in hours if self.requests[s, hour]
            ]
            if parts:
                weights = np.array([n for n, _, _ in parts], dtype=np.float64)
                true = np.array([day.true[rows].mean() for _, day, rows in parts])
                judged = np.array([day.p[rows].mean() for _, day, rows in parts])
                share = weights / weights.sum()
                means[stratum] = float(share @ true), float(share @ judged)
        return means

    def past_p(self, now: datetime, lookback: timedelta = DAY) -> dict[Stratum, float]:
        """True mean of p over the requests of the lookback, of every stratum with requests."""
        span = slice(max(0, _hour(now - lookback)), _hour(now))
        requests = self.requests[:, span].sum(axis=1)
        harmful = (self.requests[:, span] * self.mean_p[:, span]).sum(axis=1)
        return {
            stratum: float(harmful[s] / requests[s]) for s, stratum in enumerate(self.strata) if requests[s]
        }

    def coverage(self, now: datetime, retention: timedelta = timedelta(days=7)) -> list[CoverageCount]:
        """The audit of the target's own draws, per stratum and for all, over the retention."""
        per_draw = self.world.sampler.target_draws
        counts = []
        for s, stratum in enumerate(self.strata):
            prompts = gap = 0
            for hour in range(max(0, _hour(now - retention)), _hour(now)):
                day, rows = self._rows(s, hour)
                prompts += rows.stop - rows.start
                gap += int(day.gap[rows].sum())
            counts.append(CoverageCount(HARM, stratum, prompts * per_draw, gap))
        total = CoverageCount(
            HARM, None, sum(c.target_draws for c in counts), sum(c.gap_hits for c in counts)
        )
        return [*counts, total]

    def _rows(self, s: int, hour: int) -> tuple[Estimated, slice]:
        """The day's estimates that hold an hour's, and where in them."""
        day, within = divmod(hour, 24)
        first = 24 * day
        sizes = np.minimum(self.requests[s, first : first + 24], self.world.sampler.prompts_per_window)
        if (s, day) not in self._days:
            self._days[s, day] = self._draw_day(s, day, sizes)
        start = int(sizes[:within].sum())
        return self._days[s, day], slice(start, start + int(sizes[within]))

    def _draw_day(self, s: int, day: int, sizes: IntArray) -> Estimated:
        """All estimates of a stratum and day; `sizes` [24] prompts of every hour."""
        rng = np.random.default_rng([self.seed, 1, s, day])
        harm = list(self.world.parts.values())[s].harm
        scale = harm.scale(np.repeat(24 * day + np.arange(len(sizes)), sizes) / 24)  # [m]
        covered, missed = (risk.draw(len(scale), scale, rng) for risk in (harm.covered, harm.missed))
        return estimate(covered, missed, self.world.judge, self.world.sampler, rng)

    def _cell(self, s: int, hour: int) -> list[WeightedEstimate]:
        day, rows = self._rows(s, hour)
        if rows.start == rows.stop:
            return []
        stratum, population = self.strata[s], int(self.requests[s, hour])
        weight, cell = population / (rows.stop - rows.start), (START + hour * HOUR, stratum)
        columns = (day.p, day.stderr, day.hits, day.gap)
        return [
            WeightedEstimate(self._record(f"{s}-{hour}-{i}", stratum, *row), weight, cell, population)
            for i, row in enumerate(zip(*(column[rows].tolist() for column in columns), strict=True))
        ]

    def _record(
        self, name: str, stratum: Stratum, p: float, stderr: float, covered: int, gap: int
    ) -> Estimate:
        """An estimate; its limits are plain normal ones, which a forecast does not read."""
        sampler, hits = self.world.sampler, covered + gap
        flags = (Flag.NO_HITS,) if not hits else (Flag.COVERAGE_GAP,) if gap else ()
        return Estimate(
            prompt_id=name,
            harm=HARM,
            stratum=stratum,
            p=p,
            stderr=stderr if hits else None,
            ci_low=max(0.0, p - 1.96 * stderr),
            ci_high=min(1.0, p + 1.96 * stderr),
            upper_bound=min(1.0, p + 1.96 * stderr + 3 / sampler.target_draws),
            n=sampler.draws,
            hits=hits,
            ess=hits / (1 + WEIGHT_SPREAD),
            khat=None,
            weight_mean=1.0,
            flags=flags,
            tokens=0,
            device_seconds=0.0,
            target_draws=sampler.target_draws,
            gap_hits=gap,
        )


def _hour(at: datetime) -> int:
    return (at - START) // HOUR


def _measure(judge: Judge, rng: np.random.Generator) -> JudgeError | None:
    """The judge's error as counted on simulated labels."""
    if not judge.labelled_harmful or not judge.labelled_harmless:
        return None
    caught = int(rng.binomial(judge.labelled_harmful, judge.sensitivity))
    alarms = int(rng.binomial(judge.labelled_harmless, 1 - judge.specificity))
    return JudgeError(
        harm=HARM,
        judge="simulated",
        threshold=0.5,
        true_positive=caught,
        false_negative=judge.labelled_harmful - caught,
        true_negative=judge.labelled_harmless - alarms,
        false_positive=alarms,
        unreadable_harmful=0.0,
        unreadable_harmless=0.0,
        labelled_harmful=judge.labelled_harmful,
        labelled_harmless=judge.labelled_harmless,
        labels_sha256="0" * 64,
        made_at=START,
    )
