"""The newest back-test is kept exactly, infinities included, and the forecasts it scores are found again."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from support.store_keys import store_at
from support.store_records import CHAT, CODE, HOUR, NOON, forecast

from riskmon.records import Backtest, BacktestRow, Horizon, IntervalShare, Stratum
from riskmon.records.backtest import Verdict
from riskmon.store import Store, open_store

DAY = timedelta(days=1)


def row(day: int, stratum: Stratum | None) -> BacktestRow:
    return BacktestRow(
        made_at=NOON + day * DAY,
        harm="misuse",
        stratum=stratum,
        expected=0.1 + 0.2,
        lower=0.0,
        upper=3.0,
        requests=86_400,
        judged=4_800.25,
        harmful=1 / 3,
        observed=None if day else 6.0,
        observed_low=0.0,
        observed_high=86_400.0,
        chance_lower=1.0,
        chance_upper=1e-300,
        told=day == 0,
        verdict=Verdict.CANNOT_TELL if day else Verdict.ABOVE,
        error=None if day else math.inf,
        error_at_least=math.inf,
        direction=None if day else False,
        reason="too few" if day else "",
    )


def backtest(stratum: Stratum | None, harm: str = "misuse") -> Backtest:
    return Backtest(
        harm=harm,
        stratum=stratum,
        rows=tuple(replace(row(day, stratum), harm=harm) for day in range(2)),
        told=1,
        above=1,
        below=0,
        median_error=math.inf,
        observation_error=1.25,
        errors=1,
        intervals=(IntervalShare(0.5, 0, 1, 0.0, 0.975), IntervalShare(0.9, 0, 0, 0.0, 1.0)),
        directions=1,
        directions_right=0,
        needed=912_345,
        note="one sentence",
    )


def test_what_was_written_comes_back_in_its_order_and_replaces_what_was_before(store: Store) -> None:
    assert store.backtests() == []
    assert (store.snapshot(NOON).backtests, store.snapshot(NOON).backtest_at) == ((), None)
    strange = Stratum((("route", "\x00ü"),))
    first = [backtest(None), backtest(CODE), backtest(CHAT), backtest(strange), backtest(None, "insult")]
    store.write_backtests(first, NOON)
    assert store.backtests() == first
    shown = store.snapshot(NOON + HOUR)
    assert shown.backtests == (first[0], first[-1])
    assert shown.backtest_at == NOON
    store.write_backtests(first[:1], NOON + HOUR)
    assert store.backtests() == first[:1]
    assert store.snapshot(NOON).backtest_at == NOON + HOUR
    store.write_backtests([], NOON + 2 * HOUR)
    assert store.backtests() == []


def test_other_processes_see_it_and_no_purge_takes_it(store_url: str) -> None:
    with open_store(store_at(store_url)) as store, open_store(store_at(store_url)) as other:
        store.write_backtests([backtest(None)], NOON)
        other.purge(NOON + 1000 * DAY)
        assert other.backtests() == [backtest(None)]


def test_the_first_forecasts_of_every_day_are_found_with_their_strata(store: Store) -> None:
    of_day = {}
    for hours in (1, 2, 9, 13, 14, 37):
        made = [
            forecast(NOON + hours * HOUR, None, 2.0),
            forecast(NOON + hours * HOUR, None, 14.0, Horizon.WEEK),
            forecast(NOON + hours * HOUR, CHAT, 1.0),
        ]
        store.write_forecasts(made)
        of_day[hours] = [made[0], made[2]]
    # A harm that came later in the day has a first forecast of its own.
    late = [forecast(NOON + 15 * HOUR, stratum, 3.0) for stratum in (None, CHAT)]
    insult = [replace(made, harm="insult") for made in late]
    store.write_forecasts([*late, *insult])
    firsts = [*of_day[1], *of_day[13], *insult, *of_day[37]]
    assert store.history.daily_forecasts(NOON, NOON + 99 * HOUR) == firsts
    assert store.history.daily_forecasts(NOON + 2 * HOUR, NOON + 37 * HOUR) == [
        *of_day[2],
        *of_day[13],
        *insult,
    ]
    assert store.history.daily_forecasts(NOON + 99 * HOUR, NOON + 999 * HOUR) == []
    # Those are what a purge of text leaves of the strata.
    store.purge(NOON + 30 * HOUR, NOON)
    assert store.history.daily_forecasts(NOON, NOON + 99 * HOUR) == firsts
    kept = store.history.forecasts(NOON, NOON + 30 * HOUR)
    of_strata = [made for made in kept if made.stratum is not None]
    assert of_strata == [of_day[1][1], of_day[13][1], late[1], insult[1]]
