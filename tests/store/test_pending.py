"""Which prompts wait, and in what order."""

from __future__ import annotations

from support.store_records import CHAT, CODE, HOUR, NOON, batch, counted, failure, sampled, success

from riskmon.store import Store
from riskmon.store.prompts import _CHUNK


def offsets(store: Store, limit: int | None = None) -> list[int]:
    found = store.pending_prompts(NOON, limit)
    return [prompt.prompt.position.offset for prompt in found if prompt.prompt.position is not None]


def test_cells_take_turns_by_the_root_of_their_traffic(store: Store) -> None:
    small = [sampled(i, p) for i, p in enumerate([0.3, 0.1, 0.2])]
    large = [sampled(100 + i, 0.4 + i / 10, stratum=CODE) for i in range(5)]
    store.write_intake(counted(100, end=100, sample=small, stratum=CHAT), keep=9, now=NOON)
    store.write_intake(counted(400, end=500, sample=large, stratum=CODE), keep=9, now=NOON)
    order = [100, 1, 101, 102, 2, 103, 104, 0]
    assert offsets(store) == order
    assert offsets(store, limit=3) == order[:3]
    assert offsets(store, limit=0) == []


def test_a_result_of_either_kind_ends_the_wait(store: Store) -> None:
    store.write_intake(batch(sampled(i, (i + 1) / 10) for i in range(4)), keep=9, now=NOON)
    first, second, *_ = store.pending_prompts(NOON)
    cycle = store.begin_cycle(NOON)
    store.write_result(cycle, success(first.prompt), NOON)
    store.write_result(cycle, failure(second.prompt), NOON)
    assert offsets(store) == [2, 3]
    everything = store.sampled_prompts(NOON)
    assert [item.prompt.position.offset for item in everything if item.prompt.position] == [0, 1, 2, 3]
    assert store.sampled_prompts(NOON, 1) == everything[:1]


def test_only_windows_since_then_count(store: Store) -> None:
    early = sampled(0, 0.1, window=NOON - HOUR)
    store.write_intake(batch([early, sampled(1, 0.2)]), keep=9, now=NOON)
    assert offsets(store) == [1]
    assert store.pending_prompts(NOON - HOUR)[0] == early


def test_more_prompts_than_one_statement_reads_keep_their_order(store: Store) -> None:
    total = _CHUNK + 7
    store.write_intake(
        batch(sampled(i, 1 - (i + 1) / (total + 1)) for i in range(total)), keep=total, now=NOON
    )
    assert offsets(store) == list(range(total))[::-1]
