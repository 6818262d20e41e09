"""What is old is gone, text first; what publish shows stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from support.store_records import CHAT, CODE, HOUR, NOON, batch, forecast, hit, sampled, success, summary

from riskmon.records import Snapshot, VolumeWindow
from riskmon.store import Store, database, open_store


def row_counts(url: str) -> dict[str, int]:
    engine = create_engine(url)
    with engine.connect() as connection:
        counts = {
            name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar_one()
            for name in inspect(connection).get_table_names()
        }
    engine.dispose()
    return counts


def fill(store: Store) -> None:
    """Two hours of everything, the first to be forgotten."""
    for start in (NOON, NOON + HOUR):
        first = 10 * int(start == NOON + HOUR)
        store.write_intake(
            batch(
                [sampled(first + i, 0.1 * (i + 1), window=start) for i in range(3)]
                + [sampled(first + 3, 0.5, window=start, stratum=CODE)]
            ),
            keep=2,
            now=start,
        )
        cycle = store.begin_cycle(start)
        for found in store.pending_prompts(start):
            store.write_result(cycle, success(found.prompt, "misuse", "insult"), start)
        store.finish_cycle(cycle, summary(start))
        store.write_forecasts([forecast(start, None, 2.0), forecast(start, CHAT, 1.0)])


def without_past(snapshot: Snapshot) -> Snapshot:
    """The audit goes with the estimates it is of, and the trend with its forecasts, of which the newest stays."""
    assert snapshot.coverage
    return dataclasses.replace(snapshot, coverage=(), history=snapshot.history[-1:])


def test_everything_older_goes_and_the_rest_stays(store: Store, store_url: str) -> None:
    fill(store)
    store.begin_cycle(NOON)  # and never finished: its process died
    snapshot = store.snapshot(NOON)
    estimates = store.weighted_estimates(NOON + HOUR)
    assert len(store.weighted_estimates(NOON)) == 2 * len(estimates) == 12
    assert store.purge(NOON + HOUR) == 3
    assert store.volume(NOON) == [VolumeWindow(NOON + HOUR, CHAT, 3), VolumeWindow(NOON + HOUR, CODE, 1)]
    assert store.weighted_estimates(NOON) == estimates
    assert store.pending_prompts(NOON) == []
    assert without_past(store.snapshot(NOON)) == without_past(snapshot)
    assert [count.target_draws for count in store.snapshot(NOON).coverage] == [
        count.target_draws / 2 for count in snapshot.coverage
    ]
    assert store.strata() == [CHAT, CODE]
    assert store.next_offsets("prompts") == {0: 14}
    rows = row_counts(store_url)
    left = {name: rows[name] for name in ("cells", "samples", "estimates", "results", "forecasts", "cycles")}
    assert left == {"cells": 2, "samples": 3, "estimates": 6, "results": 3, "forecasts": 2, "cycles": 1}
    assert store.purge(NOON + HOUR) == 0


def test_counts_and_totals_outlive_the_text_they_came_with(store: Store, store_url: str) -> None:
    fill(store)
    counted = store.volume(NOON)
    assert store.purge(NOON + HOUR, NOON) == 3
    assert store.volume(NOON) == counted
    assert store.pending_prompts(NOON) == []
    assert row_counts(store_url)["samples"] == 3
    old = store.history.forecasts(NOON, NOON + HOUR)
    # The first of its day keeps its strata, for the back-test.
    assert [made.stratum for made in old] == [None, CHAT]
    assert len(store.history.forecasts(NOON, NOON + 2 * HOUR)) == 4
    assert store.purge(NOON + 3 * HOUR, NOON) == 3
    assert len(store.history.forecasts(NOON, NOON + 2 * HOUR)) == 4
    store.write_forecasts([forecast(NOON + 2 * HOUR, None, 2.0), forecast(NOON + 2 * HOUR, CHAT, 1.0)])
    store.purge(NOON + 3 * HOUR, NOON)
    assert [made.stratum for made in store.history.forecasts(NOON + HOUR, NOON + 2 * HOUR)] == [None]


def test_the_newest_forecast_and_cycles_outlive_any_age(store: Store, store_url: str) -> None:
    fill(store)
    store.finish_cycle(store.begin_cycle(NOON), summary(NOON + 2 * HOUR, complete=False))
    snapshot = store.snapshot(NOON)
    assert store.purge(NOON + 1000 * HOUR) == 3 * 2
    assert store.snapshot(NOON) == without_past(snapshot)
    rows = row_counts(store_url)
    assert (rows["cells"], rows["samples"], rows["results"], rows["cycles"], rows["forecasts"]) == (
        0,
        0,
        0,
        2,
        2,
    )


def test_a_result_stays_known_while_its_prompt_is_in_the_sample(store: Store) -> None:
    # A producer's clock runs ahead: the window starts after the cycle that estimated it.
    store.write_intake(batch([sampled(0, 0.5, window=NOON + 9 * HOUR)]), keep=2, now=NOON)
    [found] = store.pending_prompts(NOON)
    cycle = store.begin_cycle(NOON)
    store.write_result(cycle, success(found.prompt), NOON)
    store.finish_cycle(cycle, summary(NOON))
    store.finish_cycle(store.begin_cycle(NOON), summary(NOON + HOUR))
    assert store.purge(NOON + HOUR) == 0
    assert store.pending_prompts(NOON) == []
    assert len(store.weighted_estimates(NOON)) == 1


def sealed_values(url: str) -> list[bytes]:
    """Everything that is sealed, as it lies in the database."""
    engine = create_engine(url)
    with engine.connect() as connection:
        values = [
            bytes(value)
            for query in ("SELECT body, response FROM samples", "SELECT tokens, log_probs FROM hits")
            for row in connection.execute(text(query))
            for value in row
            if value is not None
        ]
    engine.dispose()
    return values


def left_in(folder: Path, values: Iterable[bytes]) -> int:
    """How many values some file holds the beginning or the end of: 28 random bytes, and the tag."""
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    return sum(value[9:37] in content or value[-16:] in content for value in values)


def test_what_is_purged_is_in_no_file_of_the_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/risk.db"
    written: set[bytes] = set()
    with open_store(url) as store:
        for first in range(0, 300, 50):
            # Long enough to spill over pages.
            long_text = "x" * 9000
            store.write_intake(
                batch(
                    sampled(i, (300 - i) / 999, text=long_text, response="yes")
                    for i in range(first, first + 50)
                ),
                keep=100,
                now=NOON,
            )
            written.update(sealed_values(url))
        cycle = store.begin_cycle(NOON)
        for found in store.pending_prompts(NOON, 20):
            store.write_result(cycle, replace(success(found.prompt), hits=(hit(found.prompt, 7, 8),)), NOON)
        written.update(sealed_values(url))
        assert len(written) == 2 * 300 + 2 * 20
        assert left_in(tmp_path, written) >= 2 * 100
        assert store.purge(NOON + HOUR) == 100
        # What was purged, what was displaced from the sample before, and responses that were judged.
        assert left_in(tmp_path, written) == 0
    assert left_in(tmp_path, written) == 0


def test_a_file_that_is_mostly_free_becomes_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "REBUILD_BYTES", 2**20)
    with open_store(f"sqlite:///{tmp_path}/risk.db") as store:
        for start in (NOON, NOON + HOUR):
            first = 1000 * int(start == NOON + HOUR)
            store.write_intake(
                batch(sampled(first + i, 0.5, window=start, text="x" * 9000) for i in range(150)),
                keep=150,
                now=NOON,
            )
        store.purge(NOON)  # so that all is in the file, and none in its log
        before = (tmp_path / "risk.db").stat().st_size
        # Less than half of it: it stays for what comes.
        store.purge(NOON + HOUR)
        assert (tmp_path / "risk.db").stat().st_size >= 0.9 * before > 2**21
        store.purge(NOON + 2 * HOUR)
        assert (tmp_path / "risk.db").stat().st_size < before / 5
