"""Two days in the life of a deployment, moment by moment, for dashboards: every metric has a value and counters grow.

A simulation, built on the snapshot of `support.snapshots`: traffic follows the day, a new model is deployed 17 hours
before the end and answers one route three times as harmfully, cycles run every four hours, a few messages are rejected.
What is derived in riskmon is derived here by the same code (`decompose`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from scipy.stats import norm
from support.snapshots import CENSUS, CYCLE, FACTS, FULL, NO_FLAGS, SENSITIVITY, backtest, forecast, stratum

from riskmon.forecast.change import decompose
from riskmon.publish import Facts
from riskmon.records import Counters, CycleSummary, Flag, Forecast, Horizon, Snapshot, Stratum, TrafficStatus
from riskmon.records.change import Change
from riskmon.records.scorer import ScorerState

LENGTH = timedelta(days=2)
_DEPLOYED = timedelta(hours=17)
_TAKES = timedelta(seconds=13)
_CYCLE, _DAY, _HOUR = timedelta(hours=4), timedelta(days=1), timedelta(hours=1)
# Requests a day and mean probability of each harm, by stratum.
_STRATA = {
    stratum("agents"): (96_400, {"misuse": 3.1e-5, "insult": 1.6e-4}),
    stratum("chat"): (871_900, {"misuse": 2.3e-6, "insult": 1.9e-4}),
    stratum("chat", "chat-v4-canary"): (61_200, {"misuse": 4.2e-6, "insult": 2.4e-4}),
    stratum("summarise"): (254_800, {"misuse": 2.8e-7, "insult": 2.2e-5}),
}
_SPREAD = {"misuse": 0.33, "insult": 0.14}


@dataclass(frozen=True)
class TwoDays:
    """Snapshots of the two days before `end`."""

    end: datetime

    def facts(self, now: datetime) -> Facts:
        """What runs at a moment; the model changes once."""
        return FACTS if self._new_model(now) else replace(FACTS, model=f"{FACTS.model}-before")

    def snapshot(self, now: datetime) -> Snapshot:
        """What the store holds at a moment."""
        made_at = _floor(now - _TAKES, timedelta(minutes=5))
        forecasts = tuple(f for harm in _SPREAD for f in self._forecasts(harm, made_at))
        totals = [f for f in forecasts if f.stratum is None]
        cycle = self._cycle(now)
        return replace(
            FULL,
            taken_at=now,
            forecasts=forecasts,
            outlook=tuple(f for total in totals for f in _horizons(total)),
            counters=self._counters(now),
            strata=replace(CENSUS, changes=self._strata_changes(now)),
            scorer=ScorerState(_floor(now - 3 * _HOUR, _DAY) + 3 * _HOUR, 0.42, True),
            last_cycle=cycle,
            last_success=cycle,
            forecast_at=made_at + _TAKES,
            traffic=TrafficStatus(up=True, lag_messages=self._lag(now), at=now - timedelta(seconds=4)),
            sensitivity=replace(SENSITIVITY, finished_at=_floor(now, _DAY) - timedelta(hours=3)),
            changes={harm: self._change(harm, made_at) for harm in _SPREAD},
            version_changes=(),
            backtests=(
                FULL.backtests[0],
                backtest(
                    "insult",
                    26 * "w" + "b",
                    median_error=1.31,
                    observation_error=1.22,
                    directions=4,
                    directions_right=3,
                ),
            ),
            backtest_at=_floor(now, _HOUR) + timedelta(minutes=1),
        )

    def _new_model(self, now: datetime) -> bool:
        return now >= self.end - _DEPLOYED

    def _requests(self, cell: Stratum, now: datetime) -> float:
        base, _ = _STRATA[cell]
        grows = 0.12 * (1 - (self.end - now) / LENGTH)
        return base * (1 + grows + 0.05 * _wave(now, _DAY))

    def _probability(self, harm: str, cell: Stratum, now: datetime) -> float:
        """Estimates arrive with each cycle, so they move in steps, and a new model is seen little by little."""
        known = _floor(now, _CYCLE)
        risen = min(max((known - (self.end - _DEPLOYED)) / (3 * _CYCLE), 0.0), 1.0)
        factor = 1 + 2 * risen if harm == "misuse" and dict(cell.labels)["route"] == "agents" else 1.0
        noise = 0.05 * _wave(known, timedelta(hours=9.3))
        return _STRATA[cell][1][harm] * factor * (1 + noise)

    def _forecasts(self, harm: str, now: datetime) -> list[Forecast]:
        cells = [
            self._forecast(harm, cell, self._requests(cell, now), self._probability(harm, cell, now), now)
            for cell in _STRATA
        ]
        requests, expected = sum(f.requests for f in cells), sum(f.expected for f in cells)
        return [self._forecast(harm, None, requests, expected / requests, now), *cells]

    def _forecast(
        self, harm: str, cell: Stratum | None, requests: float, p: float, now: datetime
    ) -> Forecast:
        expected = requests * p
        spread = _SPREAD[harm] * (1 if cell is None else 1.6)

        def end(level: float) -> float:
            return float(
                max(
                    round(
                        expected * math.exp(spread * norm.ppf(level)) + math.sqrt(expected) * norm.ppf(level)
                    ),
                    0,
                )
            )

        numbers = (
            expected,
            end(0.05),
            end(0.95),
            -math.expm1(-expected),
            requests,
            p,
            p * math.exp(2 * spread),
            1_642,
            391,
        )
        whole = next(f for f in FULL.forecasts if f.harm == harm and f.stratum is None)
        return forecast(
            harm,
            cell,
            numbers,
            made_at=now,
            lower_50=end(0.25),
            upper_50=end(0.75),
            lower_99=end(0.005),
            upper_99=end(0.995),
            worst_query_probability=300 * p,
            over_budget_probability=_over(harm, expected),
            variance=whole.variance,
            unseen_share=whole.unseen_share,
            retries=10,
            retry_probability=8.1 * p,
            retry_lower=5 * p,
            retry_upper=13 * p,
        )

    def _change(self, harm: str, now: datetime) -> Change:
        rng = np.random.default_rng(3)
        before, after = (
            {
                cell: (
                    self._requests(cell, at) * np.exp(0.03 * rng.standard_normal(400)),
                    self._probability(harm, cell, at) * np.exp(_SPREAD[harm] * rng.standard_normal(400)),
                )
                for cell in _STRATA
            }
            for at in (now - _DAY, now)
        )
        return decompose(before, after)

    def _cycle(self, now: datetime) -> CycleSummary:
        started = _floor(now - timedelta(minutes=27), _CYCLE)
        gap = 0.0122 if self._new_model(started) else 0.0
        wave = _wave(started, timedelta(hours=13))
        flags = {**NO_FLAGS, Flag.COVERAGE_GAP: round(1_642 * gap), Flag.NO_HITS: 1_251, Flag.FEW_HITS: 73}
        misuse, insult = CYCLE.health
        return replace(
            CYCLE,
            started_at=started,
            finished_at=started + timedelta(minutes=26, seconds=30),
            left_out=158 + round(60 * wave),
            weight_mean=0.995 + 0.02 * wave,
            health=(
                replace(
                    misuse,
                    khat=0.58 + 0.09 * wave,
                    ess_ratio=0.214 - 0.03 * wave,
                    coverage_gap_ratio=gap,
                    flagged=flags,
                ),
                replace(insult, khat=0.31 - 0.05 * wave),
            ),
        )

    def _counters(self, now: datetime) -> Counters:
        days = (now - (self.end - 30 * _DAY)) / _DAY
        day_part = days + 0.05 * _wave(now - timedelta(hours=6), _DAY)
        cycles = self._cycles(now)
        harmful = {"misuse": 0.4, "insult": 2.6}
        return Counters(
            consumed=round(1_284_300 * day_part),
            sampled=round(19_200 * day_part),
            rejected={"not_json": int(31 * days), "bad_timestamp": int(9 * days)},
            estimated_prompts=round(1_642 * cycles),
            estimate_failures={"too_long": int(3 * cycles), "not_finite": int(0.5 * cycles)},
            estimate_tokens=round(71_233_804 * cycles),
            estimate_device_seconds=1_583.25 * cycles,
            estimate_paused_seconds=212.5 * cycles,
            observed={harm: (round(2_900 * days), int(rate * days)) for harm, rate in harmful.items()},
            observed_uncovered={"misuse": int(0.3 * days), "insult": int(0.6 * days)},
            scorer_failures={"raised": int(4 * days)},
            job_failures={"estimate": int(0.7 * days)},
            observed_by_stratum={
                (harm, cell): (round(725 * days), int(rate * days / 4))
                for harm, rate in harmful.items()
                for cell in _STRATA
            },
            verdicts={harm: (round(820_000 * cycles), int(40 * cycles)) for harm in harmful},
            worker_losses={"died": int(0.6 * days)},
            dead_letters={"sent": int(38 * days), "failed": int(2 * days)},
        )

    def _strata_changes(self, now: datetime) -> dict[str, int]:
        days = (now - (self.end - 30 * _DAY)) / _DAY
        return {"appeared": 6 + int(0.6 * days), "vanished": int(0.6 * days), "reappeared": int(0.5 * days)}

    def _cycles(self, now: datetime) -> float:
        """Cycles done so far; every finished estimate counts at once."""
        started = _floor(now, _CYCLE)
        share = min((now - started) / timedelta(minutes=26, seconds=30), 1.0)
        return (started - (self.end - 30 * _DAY)) / _CYCLE + share

    def _lag(self, now: datetime) -> int:
        return round(900 + 700 * _wave(now, timedelta(hours=5)))


def _over(harm: str, expected: float) -> float:
    budget = next(facts.budget_daily for facts in FACTS.harms if facts.name == harm)
    assert budget is not None
    return float(norm.sf(math.log(budget / expected) / math.hypot(_SPREAD[harm], expected**-0.5)))


def _horizons(day: Forecast) -> list[Forecast]:
    """Today and seven days, in proportion."""
    made = []
    for horizon, share in ((Horizon.TODAY, 0.94), (Horizon.WEEK, 7.1)):
        narrow = share**-0.5 if share > 1 else 1.0
        ends = ("lower", "upper", "lower_50", "upper_50", "lower_99", "upper_99")
        made.append(
            replace(
                day,
                horizon=horizon,
                expected=share * day.expected,
                **{
                    end: round(share * (day.expected + narrow * (getattr(day, end) - day.expected)))
                    for end in ends
                },
                requests=share * day.requests,
                over_budget_probability=_over(day.harm, day.expected * share / max(round(share), 1)),
            )
        )
    return [made[0], day, made[1]]


def _wave(now: datetime, period: timedelta) -> float:
    return math.sin(2 * math.pi * now.timestamp() / period.total_seconds())


def _floor(now: datetime, step: timedelta) -> datetime:
    seconds = step.total_seconds()
    return datetime.fromtimestamp(now.timestamp() // seconds * seconds, now.tzinfo)
