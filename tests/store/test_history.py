"""Cycles, forecasts and the snapshot that publish reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from support.store_records import (
    CHAT,
    CODE,
    HOUR,
    NOON,
    batch,
    counted,
    failure,
    forecast,
    sampled,
    success,
    summary,
)

from riskmon.errors import StoreUnavailable
from riskmon.records import Horizon, Snapshot, TrafficStatus
from riskmon.records.report import SampleTally
from riskmon.records.strata import StrataCensus
from riskmon.store import Store
from riskmon.store.database import Database
from riskmon.store.engine import parse_url
from riskmon.store.migrate import migrate


def test_the_last_and_the_last_complete_cycle(store: Store) -> None:
    assert (store.last_cycle(), store.last_complete_cycle()) == (None, None)
    whole, partial = summary(NOON), summary(NOON + HOUR, complete=False, prompts=11)
    first, second = store.begin_cycle(NOON), store.begin_cycle(NOON)
    store.begin_cycle(NOON + 2 * HOUR)
    store.finish_cycle(second, partial)
    store.finish_cycle(first, whole)
    assert store.last_cycle() == partial
    assert store.last_complete_cycle() == whole


def test_a_cycle_finished_again_is_replaced(store: Store) -> None:
    cycle = store.begin_cycle(NOON)
    store.finish_cycle(cycle, summary(NOON))
    shorter = replace(summary(NOON + HOUR), health=summary(NOON).health[1:], weight_mean=None, failures={})
    store.finish_cycle(cycle, shorter)
    assert store.last_cycle() == shorter


def test_a_cycle_that_never_began_cannot_finish(store: Store) -> None:
    with pytest.raises(StoreUnavailable, match="no cycle 41"):
        store.finish_cycle(41, summary(NOON))


def test_the_latest_forecasts_are_all_of_one_moment_and_exact(store: Store) -> None:
    assert store.latest_forecasts() == []
    newer = [
        forecast(NOON + HOUR, CODE, 0.1 + 0.2),
        forecast(NOON + HOUR, None, 12.5),
        forecast(NOON + HOUR, CHAT, 3.0),
    ]
    store.write_forecasts([forecast(NOON, CHAT, 7.0)])
    store.write_forecasts(newer)
    store.write_forecasts([])
    assert store.latest_forecasts() == newer
    again = [forecast(NOON + HOUR, None, 13.0)]
    store.write_forecasts(again)
    assert store.latest_forecasts() == again


def test_the_snapshot_holds_the_last_totals_of_every_hour_the_oldest_first(store: Store) -> None:
    minute = timedelta(minutes=1)
    for at in (NOON + 5 * minute, NOON - minute, NOON + 59 * minute, NOON + 24 * HOUR):
        store.write_forecasts([forecast(at, CHAT, 1.0), forecast(at, None, 2.0)])
    kept = [NOON - minute, NOON + 59 * minute, NOON + 24 * HOUR]
    assert store.snapshot(NOON).history == tuple(forecast(at, None, 2.0) for at in kept)


def test_volume_is_ordered_by_time_then_by_first_sight(store: Store) -> None:
    store.write_intake(counted(5, end=5, stratum=CODE, window=NOON + HOUR), keep=9, now=NOON)
    store.write_intake(counted(2, end=7, stratum=CHAT, window=NOON + HOUR), keep=9, now=NOON)
    store.write_intake(counted(3, end=10, stratum=CHAT), keep=9, now=NOON)
    store.write_intake(counted(4, end=14, stratum=CHAT, window=NOON - HOUR), keep=9, now=NOON)
    found = [(window.start, window.stratum, window.requests) for window in store.volume(NOON)]
    assert found == [(NOON, CHAT, 3), (NOON + HOUR, CODE, 5), (NOON + HOUR, CHAT, 2)]


def test_datetimes_are_instants_and_come_back_in_utc(store: Store) -> None:
    local = NOON.astimezone(timezone(timedelta(hours=-7))) + timedelta(microseconds=1)
    store.write_traffic_status(TrafficStatus(True, 0, local))
    found = store.traffic_status(NOON)
    assert found is not None
    assert found.at == local
    assert found.at.tzinfo is UTC
    store.write_intake(counted(1, end=1, window=local), keep=9, now=NOON)
    assert store.volume(local)[0].start == local
    assert store.volume(local + timedelta(microseconds=1)) == []
    with pytest.raises(StoreUnavailable) as caught:
        store.begin_cycle(NOON.replace(tzinfo=None))
    assert "aware" in str(caught.value.__cause__)


def test_after_the_clock_was_set_back_the_newest_is_what_was_written_last(store: Store) -> None:
    ahead, now = NOON + HOUR, NOON
    for at, expected in ((ahead, 1.0), (now, 2.0)):
        store.write_forecasts([forecast(at, None, expected)])
        number = store.begin_cycle(at)
        store.finish_cycle(number, summary(at, prompts=int(expected)))
    assert store.last_forecast_at() == now
    assert [made.expected for made in store.latest_forecasts()] == [2.0]
    assert store.last_complete_cycle() == summary(now, prompts=2)
    shown = store.snapshot(NOON)
    assert (shown.forecast_at, shown.last_success) == (now, summary(now, prompts=2))


def test_the_snapshot_says_when_the_store_was_last_written_to_here(store_url: str) -> None:
    at = [NOON]
    database = Database(parse_url(store_url), lambda: at[0])
    migrate(database)
    with Store(database) as store:
        at[0] = NOON + HOUR
        store.count_job_failure("forecast")
        at[0] = NOON + 2 * HOUR
        with pytest.raises(StoreUnavailable):
            store.finish_cycle(7, summary(NOON))
        assert store.counters().job_failures == {"forecast": 1}
        assert store.snapshot(NOON).written_at == NOON + HOUR


def test_lost_workers_are_counted_per_reason(store: Store) -> None:
    for reason in ("died", "died", "deadline"):
        store.count_worker_loss(reason)
    assert store.counters().worker_losses == {"died": 2, "deadline": 1}
    assert store.snapshot(NOON).counters.worker_losses == {"died": 2, "deadline": 1}


def test_job_failures_are_counted_per_job(store: Store) -> None:
    for job in ("forecast", "estimate", "forecast"):
        store.count_job_failure(job)
    assert store.counters().job_failures == {"estimate": 1, "forecast": 2}


def test_the_snapshot_holds_what_the_parts_say(store: Store) -> None:
    assert store.snapshot(NOON) == Snapshot(taken_at=NOON)
    store.write_intake(batch([sampled(0, 0.5)]), keep=9, now=NOON)
    checked = TrafficStatus(True, 3, NOON + 2 * HOUR)
    store.write_traffic_status(checked)
    total, of_week, of_chat = (
        forecast(NOON, None, 2.0),
        forecast(NOON, None, 14.0, Horizon.WEEK),
        forecast(NOON, CHAT, 1.0),
    )
    store.write_forecasts([total, of_week, of_chat])
    store.finish_cycle(store.begin_cycle(NOON), summary(NOON))
    store.finish_cycle(store.begin_cycle(NOON), summary(NOON + HOUR, complete=False))
    assert store.snapshot(NOON + 2 * HOUR) == Snapshot(
        taken_at=NOON + 2 * HOUR,
        forecasts=(total, of_chat),
        outlook=(total, of_week),
        counters=store.counters(),
        strata=StrataCensus(kept=1, changes={"appeared": 1}),
        last_cycle=summary(NOON + HOUR, complete=False),
        last_success=summary(NOON),
        forecast_at=NOON,
        traffic=checked,
        history=(forecast(NOON, None, 2.0),),
    )


def test_cycles_of_a_period_finished_and_lost(store: Store) -> None:
    early, whole, partial = summary(NOON - HOUR), summary(NOON), summary(NOON + HOUR, complete=False)
    for found in (partial, early, whole):
        store.finish_cycle(store.begin_cycle(found.started_at), found)
    store.begin_cycle(NOON - 2 * HOUR)
    store.begin_cycle(NOON + 2 * HOUR)
    assert store.history.cycles(NOON) == [whole, partial]
    assert store.history.unfinished_cycles(NOON) == [NOON + 2 * HOUR]
    assert store.history.unfinished_cycles(NOON - 3 * HOUR) == [NOON - 2 * HOUR, NOON + 2 * HOUR]


def test_hourly_totals_reach_back_as_far_as_asked(store: Store) -> None:
    assert store.last_forecast_at() is None
    for hours in range(5):
        at = NOON + hours * HOUR
        store.write_forecasts(
            [forecast(at, CHAT, 1.0), forecast(at, None, 2.0), forecast(at, None, 9.0, Horizon.WEEK)]
        )
    assert store.history.hourly_totals(NOON + 2 * HOUR) == [
        forecast(NOON + h * HOUR, None, 2.0) for h in (2, 3, 4)
    ]
    assert store.last_forecast_at() == NOON + 4 * HOUR


def test_the_tally_tells_what_became_of_the_sample(store: Store) -> None:
    items = [sampled(offset, offset / 10) for offset in range(1, 7)]
    old = sampled(9, 0.5, window=NOON - HOUR)
    store.write_intake(batch([*items, old]), keep=9, now=NOON)
    cycle = store.begin_cycle(NOON)
    for item in (items[0], items[1], old):
        store.write_result(cycle, success(item.prompt), NOON)
    store.write_result(cycle, failure(items[2].prompt), NOON)
    store.write_result(cycle, failure(items[3].prompt, "not_finite"), NOON)
    assert store.history.sample_tally(NOON) == SampleTally(NOON, 6, 2, {"not_finite": 1, "too_long": 1}, 2)
    assert store.history.sample_tally(NOON - HOUR).estimated == 3
    assert store.history.sample_tally(NOON + HOUR) == SampleTally(NOON + HOUR, 0, 0, {}, 0)
