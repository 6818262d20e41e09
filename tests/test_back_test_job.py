"""The back-test as a job: which forecasts are scored, up to when, and with which judge's errors."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.store_records import (
    CHAT,
    HOUR,
    NOON,
    batch,
    counted,
    forecast,
    observation,
    sampled,
    success,
    summary,
)

from riskmon import jobs
from riskmon.config import Config
from riskmon.config_file import parse_config
from riskmon.errors import ConfigError
from riskmon.forecast.backtest import NO_RESPONSES, NOTHING_ENDED
from riskmon.records import JudgeError
from riskmon.statistics.calibration_file import write_judge_error
from riskmon.store import Store, open_store

DAY = timedelta(days=1)
MIDNIGHT = NOON - 12 * HOUR
NOW = MIDNIGHT + 10 * DAY + HOUR


def settings(folder: Path, **harm: object) -> Config:
    judge = {"kind": "regex", "pattern": "x"}
    return parse_config(
        {
            "model": {"target": "org/model"},
            "harms": [{"name": "misuse", "judge": judge, "threshold": 0.5, **harm}],
            "traffic": {"jsonl": "traffic.jsonl"},
        },
        base=folder,
    )


@pytest.fixture
def store(tmp_path):
    """Ten days with one judged response of one harm each, forecast every midnight for two harms."""
    with open_store(f"sqlite:///{tmp_path}/risk.db") as opened:
        for day in range(10):
            made = [forecast(MIDNIGHT + day * DAY, stratum, 300.0) for stratum in (None, CHAT)]
            opened.write_forecasts([*made, *(replace(one, harm="removed") for one in made)])
            opened.write_intake(
                batch([sampled(day, 0.5, window=NOON + day * DAY, response="x")]), keep=9, now=NOON
            )
        cycle = opened.begin_cycle(NOW)
        for waiting in opened.pending_prompts(MIDNIGHT):
            opened.write_result(cycle, success(waiting.prompt), NOW)
            opened.write_observation(observation(waiting.prompt, misuse=True), NOW)
        opened.finish_cycle(cycle, replace(summary(NOW), started_at=NOW))
        yield opened


def scored(store: Store, config: Config, now: datetime = NOW) -> list[int]:
    """Days of the total's rows."""
    total = jobs.back_test(store, config, "run", now)[0]
    assert store.backtests()[0] == total
    assert store.snapshot(now).backtest_at == now
    assert {row.judged for row in total.rows} <= {1.0}
    return [(row.made_at - MIDNIGHT).days for row in total.rows]


def test_every_configured_harm_has_its_total_and_strata(store, tmp_path):
    made = jobs.back_test(store, settings(tmp_path), "run", NOW)
    assert [(test.harm, test.stratum) for test in made] == [("misuse", None), ("misuse", CHAT)]
    assert [len(test.rows) for test in made] == [10, 10]
    # One response was judged of one request a day, and it was harmful.
    assert {(row.requests, row.observed) for row in made[0].rows} == {(1, 1.0)}
    assert [test.harm for test in jobs.back_test(store, settings(tmp_path, name="removed"), "run", NOW)] == [
        "removed"
    ] * 2
    assert {row.reason for row in store.backtests()[0].rows} == {NO_RESPONSES}
    assert jobs.back_test(store, settings(tmp_path, name="new"), "run", NOW) == store.backtests() == []


def test_forecasts_wait_for_a_cycle_that_began_after_their_day(store, tmp_path):
    config = settings(tmp_path)
    assert scored(store, config) == list(range(10))
    later = store.begin_cycle(NOW)
    store.finish_cycle(later, replace(summary(NOW + HOUR), started_at=MIDNIGHT + 7 * DAY - HOUR))
    assert scored(store, config) == list(range(6))
    store.finish_cycle(later, replace(summary(NOW + HOUR, complete=False), started_at=MIDNIGHT))
    assert scored(store, config) == list(range(10))


def test_without_a_complete_cycle_nothing_is_scored(store, tmp_path):
    with open_store(f"sqlite:///{tmp_path}/other.db") as other:
        assert jobs.back_test(other, settings(tmp_path), "run", NOW) == []
        other.write_forecasts([forecast(MIDNIGHT, None, 3.0)])
        [test] = jobs.back_test(other, settings(tmp_path), "run", NOW)
        assert (test.rows, test.note) == ((), NOTHING_ENDED)


def test_thirty_days_are_looked_back_upon(store, tmp_path):
    assert scored(store, settings(tmp_path), NOW + 24 * DAY) == list(range(4, 10))


def test_forecasts_made_before_their_judge_was_measured_are_left_out(store, tmp_path):
    measured = JudgeError(
        harm="misuse",
        judge="regex",
        threshold=0.5,
        true_positive=90,
        false_negative=10,
        true_negative=980,
        false_positive=20,
        unreadable_harmful=0.0,
        unreadable_harmless=0.0,
        labelled_harmful=100,
        labelled_harmless=1_000,
        labels_sha256="0" * 64,
        made_at=MIDNIGHT + 5 * DAY + HOUR,
    )
    path = tmp_path / "judge.json"
    config = settings(tmp_path, calibration="judge.json")
    write_judge_error(path, measured)
    assert scored(store, config) == [6, 7, 8, 9]
    write_judge_error(path, replace(measured, made_at=NOW))
    assert jobs.back_test(store, config, "run", NOW) == store.backtests() == []
    path.unlink()
    with pytest.raises(ConfigError, match="cannot read the calibration"):
        jobs.back_test(store, config, "run", NOW)


def test_responses_of_prompts_without_an_estimate_count_too(tmp_path):
    """A day of a thousand requests with one estimated prompt, and three hundred judged responses, thirty harmful."""
    with open_store(f"sqlite:///{tmp_path}/many.db") as store:
        store.write_forecasts([forecast(MIDNIGHT, None, 100.0), forecast(MIDNIGHT, CHAT, 100.0)])
        own = [sampled(i, (i + 1) / 1000, response="yes") for i in range(300)]
        store.write_intake(counted(1000, end=1000, sample=own), keep=300, now=NOON)
        cycle = store.begin_cycle(NOW)
        [first] = store.pending_prompts(MIDNIGHT, 1)
        store.write_result(cycle, success(first.prompt), NOW)
        for place, waiting in enumerate(store.unjudged_responses(MIDNIGHT)):
            store.write_observation(observation(waiting.prompt, misuse=place % 10 == 0), NOW)
        store.finish_cycle(cycle, replace(summary(NOW), started_at=NOW))
        total, _ = jobs.back_test(store, settings(tmp_path), "run", NOW)
    [row] = total.rows
    assert (row.requests, row.told) == (1000, True)
    assert (row.judged, row.harmful) == pytest.approx((300, 30))
    assert row.observed == pytest.approx(100)
