"""Places of strata are given in the store, where all readers meet; who comes and goes is kept there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import numpy as np
from support.store_keys import store_at
from support.store_records import CHAT, CODE, HOUR, NOON, batch, counted, sampled

from riskmon.records import SampledPrompt, Stratum
from riskmon.records.strata import StrataLimits, StrataNews, StratumChange, StratumEvent
from riskmon.store import Store, open_store

DAY = timedelta(days=1)
LIMITS = StrataLimits(max_strata=2, max_label_values=20)
OTHER = Stratum((("route", "other"),))


def route(name: str) -> Stratum:
    return Stratum((("route", name),))


def write(store: Store, candidates: Iterable[SampledPrompt], keep: int = 5, hour: int = 0) -> StrataNews:
    return store.write_intake(batch(candidates), keep=keep, now=NOON + hour * HOUR, limits=LIMITS)


def changes(news: StrataNews) -> list[tuple[StratumChange, Stratum]]:
    return [(event.change, event.stratum) for event in news.events]


def test_first_sight_is_an_event_and_the_limit_too(store: Store) -> None:
    news = write(store, [sampled(0, 0.5), sampled(1, 0.5, stratum=CODE)])
    assert changes(news) == [(StratumChange.APPEARED, CHAT), (StratumChange.APPEARED, CODE)]
    assert news.kept == (CHAT, CODE)
    news = write(store, [sampled(2, 0.5, stratum=route("a")), sampled(3, 0.5, stratum=route("b"))], hour=1)
    assert changes(news) == [(StratumChange.CAPPED, OTHER)]
    assert changes(write(store, [sampled(4, 0.5, stratum=route("c"))])) == []
    assert [(w.stratum, w.requests) for w in store.volume(NOON)] == [(CHAT, 1), (CODE, 1), (OTHER, 3)]
    assert store.snapshot(NOON).strata.changes == {"appeared": 2, "capped": 1}
    assert store.snapshot(NOON).strata.kept == 2


def test_readers_that_each_have_room_for_their_own_share_the_limit(store: Store, store_url: str) -> None:
    """Each of two processes has admitted two strata of its own: the store has two places."""
    first = [sampled(i, 0.5, stratum=route(f"first-{i}")) for i in range(2)]
    second = [sampled(i, 0.5, partition=1, stratum=route(f"second-{i}")) for i in range(2)]
    write(store, first)
    with open_store(store_at(store_url)) as other:
        news = write(other, second)
    assert set(news.kept) == {route("first-0"), route("first-1"), OTHER}
    assert sum(w.requests for w in store.volume(NOON) if w.stratum == OTHER) == 2
    assert {item.prompt.stratum for item in store.pending_prompts(NOON)} == set(news.kept)


def test_a_sample_that_is_moved_is_the_bottom_k_of_all_that_the_cell_counts(store: Store) -> None:
    """Batches as a process sends them: the k best of each of its strata, of which the store has room for none."""
    keep, rng = 4, np.random.default_rng(2)
    write(store, [sampled(0, 0.5), sampled(1, 0.5, stratum=CODE)], keep=keep)
    every: list[SampledPrompt] = []
    offset = 2
    for _ in range(6):
        part: list[SampledPrompt] = []
        for name in ("a", "b", "c"):
            own = [sampled(offset + i, float(rng.random()), stratum=route(name)) for i in range(9)]
            offset += 9
            every += own
            part += sorted(own, key=lambda item: item.priority)[:keep]
        write(store, part, keep=keep)
    kept = [item for item in store.sampled_prompts(NOON) if item.prompt.stratum == OTHER]
    best = sorted(every, key=lambda item: item.priority)[:keep]
    assert {item.prompt.id for item in kept} == {item.prompt.id for item in best}
    assert not {item.prompt.stratum for item in store.sampled_prompts(NOON)} - {CHAT, CODE, OTHER}


def test_values_of_a_label_are_limited_where_readers_meet(store: Store) -> None:
    def pair(route: str, model: str) -> Stratum:
        return Stratum((("route", route), ("model", model)))

    limits = StrataLimits(max_strata=9, max_label_values=2)
    asked = [pair("a", "m1"), pair("b", "m1"), pair("c", "m1"), pair("c", "m2"), pair("d", "m3")]
    for offset, stratum in enumerate(asked, start=1):
        store.write_intake(counted(7, end=offset, stratum=stratum), keep=5, now=NOON, limits=limits)
    assert [(w.stratum, w.requests) for w in store.volume(NOON)] == [
        (pair("a", "m1"), 7),
        (pair("b", "m1"), 7),
        (pair("other", "m1"), 7),
        (pair("other", "m2"), 7),
        (pair("other", "other"), 7),
    ]


def test_without_limits_every_stratum_has_a_place(store: Store) -> None:
    strata = [route(str(i)) for i in range(60)]
    for i, stratum in enumerate(strata):
        store.write_intake(counted(1, end=i + 1, stratum=stratum), keep=5, now=NOON)
    assert store.kept_strata() == strata


def test_a_place_is_free_again_when_no_count_is_left_of_its_stratum(store: Store) -> None:
    write(store, [sampled(0, 0.5), sampled(1, 0.5, stratum=CODE)])
    later = NOON + 60 * DAY
    write(store, [sampled(2, 0.5, window=later)], hour=60 * 24)
    assert store.retire_strata(NOON, later) == 0
    assert store.retire_strata(later - 56 * DAY, later) == 1
    assert store.kept_strata() == [CHAT]
    assert store.strata() == [CHAT, CODE]
    news = write(store, [sampled(3, 0.5, window=later, stratum=route("new"))])
    assert changes(news) == [(StratumChange.APPEARED, route("new"))]
    # All are taken now: what comes back is counted in `other`.
    assert changes(write(store, [sampled(4, 0.5, window=later, stratum=CODE)])) == [
        (StratumChange.CAPPED, OTHER)
    ]
    assert store.retire_strata(later + HOUR, later + 2 * HOUR) == 3
    assert changes(write(store, [sampled(5, 0.5, window=later, stratum=CODE)])) == [
        (StratumChange.REAPPEARED, CODE)
    ]


def vanished(stratum: Stratum, since_hour: int = 1) -> StratumEvent:
    return StratumEvent(NOON + 2 * DAY, StratumChange.VANISHED, stratum, NOON + since_hour * HOUR, 0.25)


def test_a_stratum_vanishes_once_and_comes_back_with_a_request_that_is_new(store: Store) -> None:
    write(store, [sampled(0, 0.5), sampled(1, 0.5, stratum=CODE)])
    now = NOON + 2 * DAY
    assert store.note_vanished([vanished(CODE)]) == [vanished(CODE)]
    assert store.note_vanished([vanished(CODE)]) == []
    assert store.snapshot(now).strata.vanished == (vanished(CODE),)
    late = write(store, [sampled(2, 0.5, stratum=CODE)], hour=50)
    assert late.events == ()
    back = write(store, [sampled(3, 0.5, stratum=CODE, window=now)], hour=50)
    assert changes(back) == [(StratumChange.REAPPEARED, CODE)]
    assert store.snapshot(now).strata.vanished == ()
    assert store.note_vanished([vanished(CODE)]) == []  # a request came while it was decided
    assert [e.change for e in store.history.stratum_events(now, now + DAY)] == [
        StratumChange.VANISHED,
        StratumChange.REAPPEARED,
    ]
    assert store.snapshot(NOON).strata.changes == {"appeared": 2, "vanished": 1, "reappeared": 1}


def test_what_the_first_day_shows_is_how_things_are(store: Store) -> None:
    write(store, [sampled(0, 0.5)])
    write(store, [sampled(1, 0.5, stratum=CODE)], hour=25)
    told = store.history.stratum_events(NOON, NOON + 2 * DAY)
    assert [(e.change, e.stratum) for e in told] == [(StratumChange.APPEARED, CODE)]
    assert store.snapshot(NOON + 2 * DAY).strata.events == tuple(told)
    assert store.snapshot(NOON + 30 * DAY).strata.events == ()


def test_events_go_with_the_counts_but_who_is_away_stays_known(store: Store) -> None:
    write(store, [sampled(0, 0.5), sampled(1, 0.5, stratum=CODE)])
    now = NOON + 2 * DAY
    write(store, [sampled(2, 0.5, window=now)], hour=48)
    store.note_vanished([vanished(CODE)])
    store.purge(now + HOUR, now + HOUR)
    assert store.snapshot(now).strata.vanished == (vanished(CODE),)
    assert store.history.stratum_events(NOON, now + DAY) == [vanished(CODE)]
    write(store, [sampled(3, 0.5, stratum=CODE, window=now + HOUR)], hour=50)
    store.purge(now + DAY, now + DAY)
    assert store.history.stratum_events(NOON, now + DAY) == []
