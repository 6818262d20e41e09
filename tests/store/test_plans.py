"""Plans: the newest moment's are in force, and stay so."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import create_engine, func, select
from support.store_records import CHAT, CODE, HOUR, NOON, plan

from riskmon.store import Store
from riskmon.store.tables import plans


def test_the_plans_in_force_are_all_of_the_newest_moment_in_their_order(store: Store) -> None:
    assert store.plans() == []
    newer = [
        plan(NOON + HOUR, CODE),
        plan(NOON + HOUR, None, gain_nats=None),
        replace(plan(NOON + HOUR, CHAT), reason="no hits yet", members=plan(NOON, None).members[:1]),
    ]
    store.write_plans(newer)
    store.write_plans([plan(NOON, CHAT)])
    store.write_plans([])
    assert store.plans() == newer
    assert store.strata() == [CODE, CHAT]


def test_plans_of_one_moment_are_replaced_together(store: Store) -> None:
    store.write_plans([plan(NOON, CHAT), plan(NOON, None)])
    again = [plan(NOON, None, gain_nats=2.5)]
    for _ in range(2):
        store.write_plans(again)
        assert store.plans() == again


def test_a_purge_forgets_old_plans_but_the_newest(store: Store, store_url: str) -> None:
    def moments() -> int:
        engine = create_engine(store_url)
        with engine.connect() as connection:
            number: int = connection.scalar(select(func.count(plans.c.made_at.distinct()))) or 0
        engine.dispose()
        return number

    for hours in range(4):
        store.write_plans([plan(NOON + hours * HOUR, CHAT), plan(NOON + hours * HOUR, None)])
    newest = store.plans()
    store.purge(NOON + 2 * HOUR)
    assert moments() == 2
    assert store.plans() == newest
    store.purge(NOON + 1_000 * HOUR)
    assert moments() == 1
    assert store.plans() == newest
