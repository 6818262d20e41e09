"""Why forecasts changed: kept with them, shown with the newest, gone with the old."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import create_engine, text
from support.store_records import CHAT, HOUR, NOON, forecast

from riskmon.records.change import Change, Effect, VersionChange
from riskmon.store import Store


def change(first: float) -> Change:
    """Every number another one."""
    effects = [Effect(first + i / 3, first - i - 1, first + i + 1) for i in range(4)]
    return Change(*effects)


UNSURE = Change(*(Effect(mean, None, None) for mean in (0.1 + 0.2, 2.0, -3.0, 1e-300)))
VERSIONS = VersionChange("misuse", "model", "v\x001", "v2 \ud83d", change(90))


def test_changes_come_back_as_they_were_with_the_newest_forecast(store: Store) -> None:
    made = [forecast(NOON, CHAT, 1.0), forecast(NOON, None, 1.0)]
    store.write_forecasts(made, {"misuse": change(10), "insult": UNSURE}, [VERSIONS])
    snapshot = store.snapshot(NOON)
    assert snapshot.changes == {"misuse": change(10), "insult": UNSURE}
    assert list(snapshot.changes) == ["misuse", "insult"]
    assert snapshot.version_changes == (VERSIONS,)


def test_a_forecast_without_a_change_shows_none_of_an_older_one(store: Store) -> None:
    store.write_forecasts([forecast(NOON, None, 1.0)], {"misuse": change(10)}, [VERSIONS])
    store.write_forecasts([forecast(NOON + HOUR, None, 2.0)])
    assert (store.snapshot(NOON).changes, store.snapshot(NOON).version_changes) == ({}, ())


def test_changes_written_again_are_replaced(store: Store) -> None:
    made = [forecast(NOON, None, 1.0)]
    store.write_forecasts(made, {"misuse": change(10), "insult": UNSURE}, [VERSIONS])
    store.write_forecasts(made, {"misuse": change(20)})
    assert (store.snapshot(NOON).changes, store.snapshot(NOON).version_changes) == (
        {"misuse": change(20)},
        (),
    )
    store.write_forecasts([], {"misuse": change(30)})
    assert store.snapshot(NOON).changes == {"misuse": change(20)}


def test_old_changes_are_purged_and_those_of_the_newest_forecast_stay(store: Store, store_url: str) -> None:
    for hours in range(3):
        store.write_forecasts([forecast(NOON + hours * HOUR, None, 1.0)], {"misuse": change(hours)})
    store.purge(NOON + HOUR)
    assert rows_of_changes(store_url) == 2
    store.purge(NOON + 1000 * HOUR)
    assert rows_of_changes(store_url) == 1
    assert store.snapshot(NOON).changes == {"misuse": change(2)}


def rows_of_changes(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        count: int = connection.execute(text("SELECT count(*) FROM changes")).scalar_one()
    engine.dispose()
    return count


def test_the_nearest_forecasts_are_all_of_one_moment(store: Store) -> None:
    minute = timedelta(minutes=1)
    for at in (NOON - 50 * minute, NOON + 40 * minute, NOON + 45 * minute):
        store.write_forecasts([forecast(at, CHAT, 1.0), forecast(at, None, 2.0)])
    wanted = [forecast(NOON + 40 * minute, CHAT, 1.0), forecast(NOON + 40 * minute, None, 2.0)]
    assert store.history.forecasts_nearest(NOON, HOUR) == wanted
    assert store.history.forecasts_nearest(NOON, 40 * minute) == wanted
    assert store.history.forecasts_nearest(NOON, 39 * minute) == []
