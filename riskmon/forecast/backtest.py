"""Back-test: every past forecast against what judged production responses later showed.

In come stored forecasts and windows of judged responses; out goes one `Backtest` per harm, for the total and for each
stratum, with a row per scored forecast.

**Which forecasts.** They are made every few minutes and speak of 24 hours each, so neighbours are nearly one forecast
told twice. Of every UTC day the first one counts whose span does not begin before the last one's ended (by up to half
a window, since windows fall into the span that holds their middle). Rows are then about different days, and limits of
shares that take them for independent are fair. Spans that have not ended by `until` wait.

**What a row can say.** The observation is an estimate itself, often of no harmful response in a few hundred judged.
- The interval is tested through the number of flagged responses the forecast would have made likely
  (`backtest_claim`), not by laying an estimated count beside it. Its lower limit speaks of harm that was seen, its
  upper one also of harm that was not; each is held against what it means.
- A row tells where, had the count been three times the upper limit, the sample would have shown it with even odds.
  Only these rows enter the shares, since the others could not have failed. A row that fails all the same is reported.
- The multiplicative error exp |log(expected / observed)| needs ten harmful ones among the judged (a relative error of
  a third). Below that only its least possible size is given. The median is over all rows with responses where they had
  ten on average, and over none otherwise: picking single rows with many hits would pick those where chance had
  raised the count. Beside it stands the median error that the sampling of responses alone makes, exp(0.674 s) with s
  the standard error of the log of the observed count, so about exp(0.674 / sqrt(k)).
- The direction needs a change of the observed count that a 99% test of two Poisson counts calls real; of many days
  without any change one in a hundred still seems to be one.

**Judge's errors.** With a measured `JudgeError` flagged responses are read through its Se and Sp. Give it for the harms
whose forecasts were corrected by it, and only for them: a forecast of judged harm is tested against judged harm.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType

import numpy as np

from riskmon.forecast.backtest_claim import NODES, TAIL, Claim, Reading
from riskmon.forecast.backtest_count import JudgedCount, count_strata, count_total, observed_harm
from riskmon.records import Forecast, Horizon, JudgeError, Stratum
from riskmon.records.backtest import Backtest, BacktestRow, IntervalShare, JudgedWindow, Verdict
from riskmon.statistics import clopper_pearson, draw_errors, specificity, youden

SPAN = timedelta(hours=24)
LEVELS = (0.5, 0.9, 0.99)

LEAST_HARMFUL = 10.0
"""Harmful ones among the judged responses from which on the observed count is a figure and not a hint."""

LEAST_COVERED = 0.8
"""Share of a span's traffic that must have been judged in part."""

NOTICED = 3.0
"""A sample tells if it would notice this many times the upper limit."""

REAL_CHANGE = 0.99
"""Confidence at which an observed change is no chance."""

_NORMAL_QUARTILE = 0.6745
_WIDTH = 2 * 1.96  # of a 95% interval, in standard errors

NO_RESPONSES = "no judged responses"
NOT_COVERED = "judged responses cover too little of the traffic"
TOO_FEW = "too few judged responses to tell"
NOTHING_JUDGED = (
    "no production responses were judged in the forecasts' spans, so nothing is known of how right they were"
)
NOTHING_ENDED = "no forecast's 24 hours have ended yet"


def back_test(
    forecasts: Sequence[Forecast],
    windows: Iterable[JudgedWindow],
    *,
    window: timedelta,
    until: datetime,
    rng: np.random.Generator,
    judge_errors: Mapping[str, JudgeError] = MappingProxyType({}),
) -> list[Backtest]:
    """Score past forecasts.

    Args:
        forecasts: totals and strata, in any order; only those of 24 hours count.
        windows: one for every window and stratum with traffic and every harm, those without judged responses too.
        window: length of a window.
        until: aware UTC time up to which responses have been judged; forecasts of later spans wait.
        rng: source of chance; it is drawn from only for harms with a judge's error.
        judge_errors: by harm, for harms whose forecasts are corrected by them.

    Returns:
        Per harm, in the order of first sight: the total, then the strata in order.
    """
    forecasts = [forecast for forecast in forecasts if forecast.horizon is Horizon.DAY]
    judged: dict[str, list[JudgedWindow]] = defaultdict(list)
    for item in windows:
        judged[item.harm].append(item)
    results: list[Backtest] = []
    for harm in dict.fromkeys(forecast.harm for forecast in forecasts):
        own = [forecast for forecast in forecasts if forecast.harm == harm]
        results += _of_harm(harm, own, judged[harm], window, until, judge_errors.get(harm), rng)
    return results


def separate_moments(moments: Iterable[datetime], slack: timedelta) -> list[datetime]:
    """The first moment of every UTC day, without those whose 24 hours overlap the last kept by more than `slack`."""
    kept: list[datetime] = []
    first_of_day: dict[object, datetime] = {}
    for moment in sorted(moments):
        first_of_day.setdefault(moment.date(), moment)
    for moment in first_of_day.values():
        if not kept or moment >= kept[-1] + SPAN - slack:
            kept.append(moment)
    return kept


def _of_harm(
    harm: str,
    forecasts: Sequence[Forecast],
    windows: Sequence[JudgedWindow],
    window: timedelta,
    until: datetime,
    error: JudgeError | None,
    rng: np.random.Generator,
) -> list[Backtest]:
    ended = [forecast for forecast in forecasts if forecast.made_at + SPAN <= until]
    by_moment: dict[datetime, list[Forecast]] = defaultdict(list)
    for forecast in ended:
        by_moment[forecast.made_at].append(forecast)
    # The total first, also of a harm none of whose forecasts is ripe.
    rows: dict[Stratum | None, list[BacktestRow]] = {None: []}
    needed: dict[Stratum | None, int | None] = {}
    for moment in separate_moments(by_moment, window / 2):
        made = by_moment[moment]
        strata = count_strata(item for item in windows if moment <= item.start + window / 2 < moment + SPAN)
        expected = {forecast.stratum: forecast.expected for forecast in made if forecast.stratum is not None}
        for forecast in made:
            if forecast.stratum is None:
                count = count_total(strata, expected)
            else:
                count = strata.get(forecast.stratum, JudgedCount(0, 0.0, 0.0, 0.0))
            before = rows.setdefault(forecast.stratum, [])
            row = _score(forecast, count, error, rng)
            before.append(replace(row, direction=_direction(before, row, error)))
            needed[forecast.stratum] = _needed(forecast, row, error, rng)
    named = sorted(stratum for stratum in rows if stratum is not None)
    return [_summary(harm, stratum, rows[stratum], needed.get(stratum)) for stratum in (None, *named)]


def _score(
    forecast: Forecast, count: JudgedCount, error: JudgeError | None, rng: np.random.Generator
) -> BacktestRow:
    """The row of one forecast, without its direction."""
    row = BacktestRow(
        made_at=forecast.made_at,
        harm=forecast.harm,
        stratum=forecast.stratum,
        expected=forecast.expected,
        lower=forecast.lower,
        upper=forecast.upper,
        requests=count.requests,
        judged=count.judged,
        harmful=count.flagged,
        observed=None,
        observed_low=0.0,
        observed_high=float(count.requests),
        chance_lower=1.0,
        chance_upper=1.0,
        told=False,
        verdict=Verdict.CANNOT_TELL,
        error=None,
        error_at_least=1.0,
    )
    if count.fraction <= 0 or count.covered < LEAST_COVERED:
        return replace(row, reason=NO_RESPONSES if count.fraction <= 0 else NOT_COVERED)

    claim, reading = Claim.of(forecast), _reading(count, error, rng)
    value, low, high = observed_harm(count, error, rng)
    fewer = claim.chance_of_fewer(count.flagged, reading)
    more = claim.chance_of_more(count.flagged, reading)
    told = claim.would_notice(NOTICED, reading)
    if more < TAIL:
        verdict = Verdict.ABOVE
    elif fewer < TAIL:
        verdict = Verdict.BELOW
    else:
        verdict = Verdict.WITHIN if told else Verdict.CANNOT_TELL
    return replace(
        row,
        observed=value,
        observed_low=low,
        observed_high=high,
        chance_lower=fewer,
        chance_upper=more,
        told=told,
        verdict=verdict,
        error=_factor(forecast.expected, value) if value * count.fraction >= LEAST_HARMFUL else None,
        error_at_least=_factor(forecast.expected, min(max(forecast.expected, low), high)),
        reason=TOO_FEW if verdict is Verdict.CANNOT_TELL else "",
    )


def _reading(count: JudgedCount, error: JudgeError | None, rng: np.random.Generator) -> Reading:
    if error is None:
        return Reading(count.fraction, count.requests)
    se, sp = draw_errors(error, NODES, rng)
    return Reading(count.fraction, count.requests, youden(se, sp), 1 - sp)


def _needed(
    forecast: Forecast, row: BacktestRow, error: JudgeError | None, rng: np.random.Generator
) -> int | None:
    """Judged responses with which a row that could not tell would have told."""
    if row.told or row.requests <= 0:
        return None
    every = _reading(JudgedCount(row.requests, 1.0, 0.0, 1.0), error, rng)
    return Claim.of(forecast).judged_to_notice(NOTICED, every)


def _factor(expected: float, observed: float) -> float:
    """Multiplicative error, at least 1; infinite where one of the two is 0 and the other is not."""
    if expected == observed:
        return 1.0
    small, large = sorted((expected, observed))
    return large / small if small > 0 else math.inf


def _direction(before: Sequence[BacktestRow], row: BacktestRow, error: JudgeError | None) -> bool | None:
    """Whether forecast and observation changed the same way since the last row with an observation."""
    earlier = next((item for item in reversed(before) if item.observed is not None), None)
    if earlier is None or earlier.observed is None or row.observed is None:
        return None
    both = earlier.harmful + row.harmful
    if both <= 0:
        return None
    # Flagged responses of either day, were the harmful count of both the same; false alarms follow what was judged.
    alarms = 0.0 if error is None else 1 - specificity(error).value
    first, second = earlier.judged / earlier.requests, row.judged / row.requests
    same = max(both - alarms * (earlier.judged + row.judged), 0.0) / (first + second)
    of_first, of_second = first * same + alarms * earlier.judged, second * same + alarms * row.judged
    share = of_second / (of_first + of_second)
    low, high = clopper_pearson(row.harmful, both, REAL_CHANGE)
    if low <= share <= high:
        return None
    return (row.expected > earlier.expected) if share < low else (row.expected < earlier.expected)


def _summary(harm: str, stratum: Stratum | None, rows: Sequence[BacktestRow], needed: int | None) -> Backtest:
    told = [row for row in rows if row.told]
    errors, of_sampling = _errors(rows)
    turns = [row.direction for row in rows if row.direction is not None]
    note = ""
    if not rows:
        note = NOTHING_ENDED
    elif all(row.observed is None for row in rows):
        note = NOTHING_JUDGED
    return Backtest(
        harm=harm,
        stratum=stratum,
        rows=tuple(rows),
        told=len(told),
        above=sum(row.verdict is Verdict.ABOVE for row in rows),
        below=sum(row.verdict is Verdict.BELOW for row in rows),
        median_error=float(np.median(errors)) if errors else None,
        observation_error=float(np.median(of_sampling)) if errors else None,
        errors=len(errors),
        intervals=tuple(_interval_share(level, told) for level in LEVELS),
        directions=len(turns),
        directions_right=sum(turns),
        needed=needed,
        note=note,
    )


def _errors(rows: Sequence[BacktestRow]) -> tuple[list[float], list[float]]:
    """Multiplicative errors of all rows with responses, and those that sampling alone makes; none with few hits."""
    seen = [(row, row.observed, row.judged / row.requests) for row in rows if row.observed is not None]
    if not seen or np.mean([observed * share for _, observed, share in seen]) < LEAST_HARMFUL:
        return [], []
    # Among so many, a row without a hit is worth half of one.
    errors = [_factor(row.expected, max(observed, 0.5 / share)) for row, observed, share in seen]
    spreads = [
        math.log(row.observed_high / row.observed_low) / _WIDTH if row.observed_low > 0 else math.inf
        for row, _, _ in seen
    ]
    return errors, [math.exp(_NORMAL_QUARTILE * spread) for spread in spreads]


def _interval_share(level: float, told: Sequence[BacktestRow]) -> IntervalShare:
    tail = (1 - level) / 2
    held = sum(row.chance_lower >= tail and row.chance_upper >= tail for row in told)
    low, high = clopper_pearson(held, len(told))
    return IntervalShare(level, held, len(told), low, high)
