"""Counts, bottom-k samples and offsets go in together or not at all."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.store_records import CHAT, CODE, HOUR, NOON, batch, counted, sampled, success

from riskmon.errors import StoreUnavailable
from riskmon.records import (
    Counters,
    IntakeBatch,
    Message,
    Position,
    Prompt,
    SampledPrompt,
    Stratum,
    TrafficStatus,
    VolumeWindow,
)
from riskmon.store import Store

_example = count()


def offsets_of(store: Store) -> list[int]:
    return sorted(
        found.prompt.position.offset for found in store.pending_prompts(NOON) if found.prompt.position
    )


def test_a_batch_adds_counts_sample_counters_and_offsets(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5)], rejected={"not_json": 2}), keep=5, now=NOON)
    more = batch(
        [sampled(3, 0.25), sampled(4, 0.75), sampled(9, 0.1, stratum=CODE, partition=1)],
        rejected={"not_json": 1, "oversized": 4},
    )
    store.write_intake(replace(more, dead_letters={"sent": 4, "failed": 1}), keep=5, now=NOON)
    assert store.counters() == Counters(
        consumed=11,
        sampled=4,
        rejected={"not_json": 3, "oversized": 4},
        dead_letters={"sent": 4, "failed": 1},
    )
    assert [(w.start, w.stratum, w.requests) for w in store.volume(NOON)] == [
        (NOON, CHAT, 3),
        (NOON, CODE, 1),
    ]
    assert store.next_offsets("prompts") == {0: 5, 1: 10}
    assert store.next_offsets("other") == {}
    assert store.strata() == [CHAT, CODE]


def test_prompts_come_back_as_they_went_in(store: Store) -> None:
    hard = "nul \x00, quote ', emoji \N{PILE OF POO}, newline \n"
    prompts = [
        Prompt("a\x00b", hard, CHAT, Position("prompts", 0, 0), response=hard),
        Prompt("c", (Message("system", ""), Message("user", hard)), CHAT, Position("prompts", 0, 1)),
        Prompt(
            "d",
            (
                Message("user", hard, name=hard),
                Message("assistant", "", tool_calls='[{"id":"c1"}]'),
                Message("tool", hard, name="look", tool_call_id="c1"),
            ),
            CHAT,
            Position("prompts", 0, 2),
            tools='[{"type":"function"}]',
        ),
    ]
    given_in = [SampledPrompt(prompt, NOON, 0.1 + 0.2 * i) for i, prompt in enumerate(prompts)]
    store.write_intake(batch(given_in), keep=5, now=NOON)
    assert store.pending_prompts(NOON) == given_in


def test_strata_keep_the_order_of_first_sight(store: Store) -> None:
    odd = Stratum((("tenant", 'ü "x"'), ("model", "a,b")))
    store.write_intake(counted(1, end=1, stratum=odd), keep=5, now=NOON)
    store.write_intake(counted(1, end=2, stratum=CHAT), keep=5, now=NOON)
    store.write_intake(counted(1, end=3, stratum=odd), keep=5, now=NOON + HOUR)
    assert store.strata() == [odd, CHAT]


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    messages=st.lists(
        # Few priorities, so that ties are common; two partitions and two windows, so that cells interleave.
        st.tuples(st.sampled_from([0.125, 0.25, 0.5, 0.75]), st.integers(0, 1), st.integers(0, 1)),
        min_size=1,
        max_size=24,
    ),
    cuts=st.lists(st.integers(1, 6), min_size=24, max_size=24),
    keep=st.integers(1, 4),
    first=st.integers(0, 1),
)
def test_any_split_and_order_of_batches_leaves_the_same_sample(
    store: Store, messages: list[tuple[float, int, int]], cuts: list[int], keep: int, first: int
) -> None:
    topic = f"topic-{next(_example)}"
    stratum = Stratum((("example", topic),))
    stream: dict[int, list[SampledPrompt]] = defaultdict(list)
    for priority, partition, window in messages:
        offset = len(stream[partition])
        start = NOON + window * HOUR
        stream[partition].append(
            sampled(offset, priority, partition=partition, topic=topic, window=start, stratum=stratum)
        )
    expected = set()
    for window in (NOON, NOON + HOUR):
        cell = [c for part in stream.values() for c in part if c.window_start == window]
        cell.sort(key=lambda c: (c.priority, c.prompt.position))
        expected |= {c.prompt.position for c in cell[:keep]}

    sizes = iter(cuts)
    turn = first
    left = {partition: list(part) for partition, part in stream.items()}
    while any(left.values()):
        part = left.get(turn % 2, [])
        turn += 1
        if part:
            size = next(sizes)
            store.write_intake(batch(part[:size]), keep=keep, now=NOON)
            del part[:size]
    found = {p.prompt.position for p in store.pending_prompts(NOON) if p.prompt.stratum == stratum}
    assert found == expected


def test_the_sampled_counter_counts_prompts_that_entered_and_never_falls(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5), sampled(1, 0.6), sampled(2, 0.7)]), keep=2, now=NOON)
    assert store.counters().sampled == 2
    store.write_intake(batch([sampled(3, 0.9)]), keep=2, now=NOON)
    assert store.counters().sampled == 2
    store.write_intake(batch([sampled(4, 0.1)]), keep=2, now=NOON)
    assert store.counters().sampled == 3
    assert offsets_of(store) == [0, 4]


def test_a_displaced_prompt_takes_its_estimates_along(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5)]), keep=1, now=NOON)
    [old] = store.pending_prompts(NOON)
    store.write_result(store.begin_cycle(NOON), success(old.prompt), NOON)
    assert len(store.weighted_estimates(NOON)) == 1
    store.write_intake(batch([sampled(1, 0.25)]), keep=1, now=NOON)
    assert store.weighted_estimates(NOON) == []
    assert offsets_of(store) == [1]


def test_a_raised_keep_waits_for_the_next_window(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5), sampled(1, 0.2)]), keep=1, now=NOON)
    later = [sampled(2, 0.1), sampled(3, 0.3), sampled(4, 0.9, window=NOON + HOUR)]
    store.write_intake(batch([*later, sampled(5, 0.8, window=NOON + HOUR)]), keep=2, now=NOON)
    assert offsets_of(store) == [2, 4, 5]
    assert store.thresholds(2, NOON) == {(NOON, CHAT): 0.2}


def test_thresholds_are_the_smallest_priorities_left_out(store: Store) -> None:
    chat = [sampled(i, priority) for i, priority in enumerate([0.4, 0.1, 0.3, 0.2])]
    code = [sampled(4, 0.05, stratum=CODE), sampled(5, 0.06, stratum=CODE)]
    early = [sampled(6 + i, 0.01 * (i + 1), window=NOON - HOUR) for i in range(3)]
    store.write_intake(batch([*chat, *code, *early]), keep=3, now=NOON)
    assert store.thresholds(3, NOON) == {(NOON, CHAT): 0.4}
    assert store.thresholds(2, NOON) == {(NOON, CHAT): 0.3}
    assert store.thresholds(1, NOON) == {(NOON, CHAT): 0.2, (NOON, CODE): 0.06}
    assert store.thresholds(2, NOON - HOUR)[NOON - HOUR, CHAT] == 0.03


def test_an_error_in_the_middle_leaves_nothing(store: Store) -> None:
    store.write_intake(batch([sampled(0, 0.5)]), keep=5, now=NOON)
    before = (store.counters(), store.volume(NOON), store.next_offsets("prompts"), offsets_of(store))
    twice = batch(
        [sampled(1, 0.1, text="a secret"), sampled(1, 0.1, text="a secret")], rejected={"not_json": 1}
    )
    with pytest.raises(StoreUnavailable) as caught:
        store.write_intake(twice, keep=5, now=NOON)
    assert (store.counters(), store.volume(NOON), store.next_offsets("prompts"), offsets_of(store)) == before
    assert "UNIQUE" in str(caught.value).upper()
    assert "secret" not in f"{caught.value} {caught.value.__cause__}"


def test_a_sample_outside_the_counted_cells_is_a_fault_of_the_caller(store: Store) -> None:
    stray = counted(1, end=1, sample=[sampled(0, 0.5, stratum=CODE)], stratum=CHAT)
    with pytest.raises(ValueError, match="does not count"):
        store.write_intake(stray, keep=5, now=NOON)
    assert store.counters() == Counters()


@pytest.mark.parametrize(
    ("replay", "says"),
    [
        (counted(8, end=8), "counted up to offset 10"),
        (counted(10, end=10), "written already"),
        (IntakeBatch(consumed=3), "without moving"),
        (counted(5, end=15, sample=[sampled(7, 0.5)]), "samples prompts/0/7"),
    ],
    ids=["older", "same", "nowhere", "overlapping"],
)
def test_messages_that_may_be_counted_already_are_refused(
    store: Store, replay: IntakeBatch, says: str
) -> None:
    store.write_intake(counted(10, end=10), keep=5, now=NOON)
    with pytest.raises(StoreUnavailable, match=says):
        store.write_intake(replay, keep=5, now=NOON)
    assert store.next_offsets("prompts") == {0: 10}
    assert store.counters().consumed == 10


def test_an_idle_partition_may_stand_still(store: Store) -> None:
    store.write_intake(counted(10, end=10), keep=5, now=NOON)
    both = IntakeBatch(
        consumed=2, requests={(NOON, CHAT): 2}, next_offsets={("prompts", 0): 10, ("prompts", 1): 2}
    )
    store.write_intake(both, keep=5, now=NOON)
    store.write_intake(IntakeBatch(next_offsets={("prompts", 0): 10}), keep=5, now=NOON)
    assert store.next_offsets("prompts") == {0: 10, 1: 2}
    assert store.volume(NOON)[0].requests == 12


def test_the_newest_traffic_status_replaces_the_last(store: Store) -> None:
    assert store.traffic_status(NOON) is None
    store.write_traffic_status(TrafficStatus(True, 17, NOON))
    down = TrafficStatus(False, None, NOON + timedelta(seconds=1), "the broker refuses the connection")
    store.write_traffic_status(down)
    assert store.traffic_status(NOON) == down


def test_variances_of_estimated_counts_add_up(store: Store) -> None:
    exact, estimated = counted(7, end=7), counted(120, end=127)
    store.write_intake(exact, keep=5, now=NOON)
    assert store.volume(NOON) == [VolumeWindow(NOON, CHAT, 7, 0.0)]
    store.write_intake(replace(estimated, variances={(NOON, CHAT): 30.25}), keep=5, now=NOON)
    later = replace(counted(40, end=167), variances={(NOON, CHAT): 2.5})
    store.write_intake(later, keep=5, now=NOON)
    assert store.volume(NOON) == [VolumeWindow(NOON, CHAT, 167, 32.75)]
