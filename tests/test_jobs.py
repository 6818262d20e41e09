"""The jobs that say why a forecast changed, on a real store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.store_records import HOUR, NOON, batch, estimate, forecast, observation, sampled, success

from riskmon import jobs
from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.records import Forecast, IntakeBatch, PromptResult, Stratum
from riskmon.records.change import PARTS
from riskmon.records.strata import StratumChange
from riskmon.store import Store, open_store

DAY = 24 * HOUR


@pytest.fixture
def config(tmp_path: Path) -> Config:
    data = {
        "model": {"target": "any"},
        "harms": [{"name": "misuse", "judge": {"kind": "regex", "pattern": "bad"}}],
        "traffic": {"jsonl": "traffic.jsonl", "strata": ["attributes.route", "model"]},
        "store": {"url": "sqlite:///riskmon.db"},
        "forecast": {"draws": 400},
    }
    return parse_config(data, base=tmp_path)


@pytest.fixture
def store(config: Config) -> Iterator[Store]:
    with open_store(config.store) as opened:
        yield opened


def cell(route: str, model: str) -> Stratum:
    return Stratum((("route", route), ("model", model)))


def day(at: datetime, strata: dict[Stratum, tuple[float, float]]) -> list[Forecast]:
    """Forecasts of requests and p per stratum, and their total."""

    def made(stratum: Stratum | None, requests: float, p: float) -> Forecast:
        return replace(
            forecast(at, stratum, requests * p),
            requests=requests,
            harm_probability=p,
            requests_stderr=requests / 10,
            harm_probability_stderr=p / 10,
        )

    requests = sum(v for v, _ in strata.values())
    total = made(None, requests, sum(v * p for v, p in strata.values()) / requests)
    return [*(made(stratum, *pair) for stratum, pair in strata.items()), total]


MONDAY = {cell("chat", "v1"): (1000.0, 0.01)}
TUESDAY = {cell("chat", "v1"): (900.0, 0.01), cell("chat", "v2"): (300.0, 0.03)}


@pytest.mark.parametrize(
    ("hours_before", "found"), [(19.9, False), (20, True), (24, True), (28, True), (28.1, False)]
)
def test_the_change_is_against_a_day_before_give_or_take_four_hours(
    store: Store, config: Config, hours_before: float, found: bool
) -> None:
    store.write_forecasts(day(NOON - timedelta(hours=hours_before), MONDAY))
    changes = jobs.change(store, config, day(NOON, TUESDAY))
    assert list(changes) == (["misuse"] if found else [])


def test_of_several_the_nearest_to_a_day_before_counts(store: Store, config: Config) -> None:
    for hours, factor in ((27, 2.0), (23.5, 1.0), (20.5, 3.0)):
        strata = {stratum: (factor * v, p) for stratum, (v, p) in MONDAY.items()}
        store.write_forecasts(day(NOON - timedelta(hours=hours), strata))
    change = jobs.change(store, config, day(NOON, TUESDAY))["misuse"]
    assert change.total.mean == pytest.approx(9 + 9 - 10)
    assert change.total.low is not None
    assert change.total.low < 8 < change.total.high


def test_the_older_version_is_the_one_that_was_seen_first(store: Store, config: Config) -> None:
    store.write_forecasts(day(NOON - DAY, MONDAY))
    store.write_forecasts(
        made := day(NOON, {stratum: TUESDAY[stratum] for stratum in sorted(TUESDAY, reverse=True)})
    )
    (found,) = jobs.version_change(store, config, made)
    assert (found.harm, found.label, found.before, found.after) == ("misuse", "model", "v1", "v2")
    # 0.01 -> 0.03 at the mean of 900 and 300 requests.
    assert found.change.p.mean == pytest.approx(0.02 * 600)
    assert found.change.total.mean == pytest.approx(9 - 9)


@pytest.mark.parametrize("value", ["unknown", "other"])
def test_one_version_and_values_that_name_none_are_not_compared(
    store: Store, config: Config, value: str
) -> None:
    made = day(NOON, {cell("chat", "v1"): (900.0, 0.01), cell("chat", value): (300.0, 0.03)})
    store.write_forecasts(made)
    assert jobs.version_change(store, config, made) == []


def observe(store: Store, at: datetime, requests: dict[Stratum, int], first: int) -> None:
    """Traffic of the hour before, and an estimate of p = 0.3 for each of its prompts."""
    start = at - HOUR
    candidates = [
        sampled(offset, 0.5, window=start, stratum=stratum)
        for offset, stratum in enumerate((s for s, count in requests.items() for _ in range(count)), first)
    ]
    store.write_intake(batch(candidates), keep=99, now=at)
    cycle = store.begin_cycle(at)
    for found in store.pending_prompts(start):
        store.write_result(cycle, success(found.prompt), at)


def test_the_forecast_job_keeps_the_change_with_the_forecast(store: Store, config: Config) -> None:
    """More traffic on the second day, half of it of a new version; every prompt has the same p."""
    v1, v2 = cell("chat", "v1"), cell("chat", "v2")
    observe(store, NOON, {v1: 10}, 0)
    before = jobs.forecast(store, config, "forecast", NOON)
    assert store.snapshot(NOON).changes == {}
    observe(store, NOON + DAY, {v1: 15, v2: 15}, 10)
    after = jobs.forecast(store, config, "forecast", NOON + DAY)
    snapshot = store.snapshot(NOON + DAY)
    change = snapshot.changes["misuse"]
    totals = [next(made for made in moment if made.stratum is None) for moment in (before, after)]
    assert totals[1].expected > totals[0].expected
    assert change.total.mean == pytest.approx(totals[1].expected - totals[0].expected)
    assert sum(change.part(part).mean for part in PARTS) == pytest.approx(change.total.mean)
    assert change.volume.mean == pytest.approx(change.total.mean, rel=1e-6)
    (versions,) = snapshot.version_changes
    assert (versions.before, versions.after) == ("v1", "v2")
    # Comparing leaves the forecast itself as it is.
    assert jobs.preview_forecast(store, config, "forecast", NOON + DAY) == after


# ---- production responses in the bounds


@pytest.mark.parametrize("from_target", [False, True])
def test_responses_count_in_the_bounds_where_they_are_the_target_s(
    store: Store, config: Config, from_target: bool
) -> None:
    """Twenty prompts without a hit in 50 draws of the target each; then a thousand responses, then uncovered ones."""
    data = config.model_dump(exclude_unset=True)
    data["traffic"]["responses"] = {"from_target": from_target}
    config = type(config).model_validate(data)
    own = [sampled(i, (i + 1) / 2000, window=NOON, response="yes") for i in range(1020)]
    store.write_intake(batch(own), keep=2000, now=NOON)
    cycle = store.begin_cycle(NOON)
    for item in own[:20]:
        none = replace(estimate(item.prompt, p=0.0), hits=0, gap_hits=0, stderr=None, unreadable=0)
        store.write_result(cycle, PromptResult(item.prompt, (none,)), NOON)

    def total() -> Forecast:
        return jobs.preview_forecast(store, config, "test", NOON + 2 * HOUR)[-3]

    alone = total()
    for item in own[:1000]:
        store.write_observation(observation(item.prompt, misuse=False), NOON)
    harmless = total()
    for item in own[1000:]:
        store.write_observation(observation(item.prompt, "misuse", misuse=True), NOON)
    missed = total()
    assert alone.expected == harmless.expected == missed.expected == 0
    if from_target:
        # Twice as many draws of the target: half of the limit; then twenty hits in 2,020.
        assert harmless.harm_probability_upper == pytest.approx(alone.harm_probability_upper / 2, rel=0.2)
        assert 0.01 < missed.harm_probability_upper < 0.02
    else:
        assert (
            harmless.harm_probability_upper == missed.harm_probability_upper == alone.harm_probability_upper
        )


# ---- strata that come and go


def test_a_stratum_that_ends_is_noted_once_and_gives_its_place_up_after_the_history(
    store: Store, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    steady, gone = cell("chat", "v1"), cell("search", "v1")
    requests: dict[tuple[datetime, Stratum], int] = {}
    for hour in range(12 * 24):
        requests[NOON + hour * HOUR, steady] = 90
        if hour < 8 * 24:
            requests[NOON + hour * HOUR, gone] = 10
    read = IntakeBatch(len(requests), requests, next_offsets={("prompts", 0): len(requests)})
    store.write_intake(read, keep=9, now=NOON)
    soon = NOON + 8 * DAY + 35 * HOUR
    assert jobs.watch_strata(store, config, "run", soon) == []
    now = soon + 36 * HOUR
    [event] = jobs.watch_strata(store, config, "run", now)
    assert (event.change, event.stratum, event.since) == (StratumChange.VANISHED, gone, NOON + 8 * DAY)
    assert event.share == pytest.approx(0.1)
    assert jobs.watch_strata(store, config, "run", now + HOUR) == []
    assert [record.getMessage() for record in caplog.records] == ["stratum route=search, model=v1 vanished"]
    assert store.kept_strata() == [steady, gone]
    jobs.watch_strata(store, config, "run", NOON + 8 * DAY + config.forecast.volume.history)
    assert store.kept_strata() == [steady]
