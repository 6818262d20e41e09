"""Threads and processes at once, and processes that die in the middle."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.process import BaseProcess

from support.store_keys import store_at
from support.store_records import CHAT, CODE, NOON
from support.store_writer import KEEP, PER_BATCH, next_batch, priority, write_batches

from riskmon.store import Store, counts, open_store
from riskmon.store.database import Database
from riskmon.store.engine import parse_url

_SPAWN = multiprocessing.get_context("spawn")


def start_writer(url: str, partition: int, batches: int | None) -> BaseProcess:
    process = _SPAWN.Process(target=write_batches, args=(url, partition, batches))
    process.start()
    return process


def assert_counts_match_offsets(store: Store, consumed: int) -> None:
    """Every batch is ten messages: six of chat, three of code, one rejected."""
    counters = store.counters()
    assert counters.consumed == consumed
    assert counters.rejected == {"not_json": consumed // PER_BATCH}
    requests = {CHAT: 0, CODE: 0}
    for window in store.volume(NOON):
        requests[window.stratum] += window.requests
    assert requests == {CHAT: 6 * consumed // PER_BATCH, CODE: 3 * consumed // PER_BATCH}


def expected_sample(ends: dict[int, int]) -> set[tuple[int, int]]:
    """Partition and offset of the bottom-k of both strata, all in the first window."""
    chosen = set()
    for low, high in ((0, 6), (6, 9)):
        cell = [
            (priority(partition, offset), partition, offset)
            for partition, end in ends.items()
            for offset in range(end)
            if low <= offset % PER_BATCH < high
        ]
        chosen |= {(partition, offset) for _, partition, offset in sorted(cell)[:KEEP]}
    return chosen


def stored_sample(store: Store) -> set[tuple[int, int]]:
    positions = [found.prompt.position for found in store.pending_prompts(NOON)]
    return {(position.partition, position.offset) for position in positions if position is not None}


def test_a_writer_killed_at_any_moment_leaves_counts_that_match_the_offsets(store_url: str) -> None:
    with open_store(store_at(store_url)) as store:
        seen = 0
        for _ in range(2):
            writer = start_writer(store_url, 0, None)
            deadline = time.monotonic() + 30
            # Well under way, so that the kill falls into the stream of commits.
            while store.next_offsets("prompts").get(0, 0) < seen + 20 * PER_BATCH:
                assert writer.is_alive()
                assert time.monotonic() < deadline
            writer.kill()
            writer.join()
            assert writer.exitcode == -9
            with open_store(store_at(store_url)) as reopened:
                end = reopened.next_offsets("prompts")[0]
                assert end > seen
                assert_counts_match_offsets(reopened, end)
                seen = end


def test_processes_that_open_and_write_at_once_lose_and_double_nothing(store_url: str) -> None:
    writers = [start_writer(store_url, partition, 40) for partition in range(3)]
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    ends = dict.fromkeys(range(3), 400)
    with open_store(store_at(store_url)) as store:
        assert store.next_offsets("prompts") == ends
        assert_counts_match_offsets(store, 1200)
        assert stored_sample(store) == expected_sample(ends)


def test_threads_share_one_store(store: Store) -> None:
    def intake(partition: int) -> None:
        for start in range(0, 200, PER_BATCH):
            store.write_intake(next_batch(partition, start), keep=KEEP, now=NOON)

    def watch() -> None:
        """Looks on while the others write: each look is one moment, in which the counters agree."""
        for _ in range(50):
            counters = store.snapshot(NOON).counters
            assert counters.rejected.get("not_json", 0) * PER_BATCH == counters.consumed

    with ThreadPoolExecutor(5) as threads:
        tasks = [threads.submit(intake, partition) for partition in range(3)]
        tasks += [threads.submit(watch) for _ in range(2)]
        for task in tasks:
            task.result()
    assert_counts_match_offsets(store, 600)
    assert stored_sample(store) == expected_sample({0: 200, 1: 200, 2: 200})


def test_a_read_sees_one_moment_while_others_write(store: Store, store_url: str) -> None:
    database = Database(parse_url(store_url))
    with database.read() as connection:
        before = counts.read(connection)
        store.count_job_failure("forecast")
        assert counts.read(connection) == before
    with database.read() as connection:
        assert counts.read(connection) == store.counters() != before
    database.close()


def test_threads_may_open_one_database_at_once(store_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(open_store, [store_at(store_url)] * 4))
    for number, opened in enumerate(stores, start=1):
        opened.count_job_failure("forecast")
        assert opened.counters().job_failures == {"forecast": number}
        opened.close()
