"""Nothing is counted twice: compare and swap of a live reader's offsets, and ranges that a backfill fills."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from support.store_keys import store_at
from support.store_records import CHAT, NOON, sampled

from riskmon.errors import BatchRefused
from riskmon.records import IntakeBatch
from riskmon.records.ranges import Range, size, union, without
from riskmon.store import Store, engine, migrate, open_store
from riskmon.store.database import Database

RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=6)


def reads(
    first: int, end: int, partition: int = 0, passed_over: Iterable[Range] = (), topic: str = "prompts"
) -> IntakeBatch:
    """A batch that counts one request for each offset of a range, and samples the first."""
    part = (topic, partition)
    requests = size(without((first, end), passed_over))
    return IntakeBatch(
        consumed=requests,
        requests={(NOON, CHAT): requests} if requests else {},
        sample=[sampled(first, 0.5, partition=partition, topic=topic)] if requests else [],
        next_offsets={part: end},
        first_offsets={part: first},
        passed_over={part: tuple(passed_over)},
    )


def write(store: Store, *batches: IntakeBatch, backfill: bool = False) -> None:
    for one in batches:
        store.write_intake(one, keep=5, now=NOON, backfill=backfill)


def requests_of(store: Store) -> int:
    return sum(window.requests for window in store.volume(NOON))


@given(whole=st.tuples(st.integers(0, 30), st.integers(0, 30)), taken=RANGES)
def test_what_is_left_of_a_range_and_its_union_are_sets_of_offsets(whole: Range, taken: list[Range]) -> None:
    left = without(whole, taken)
    offsets = set(range(*whole)) - {at for one in taken for at in range(*one)}
    assert {at for one in left for at in range(*one)} == offsets
    assert union(left) == left
    assert size(left) == len(offsets)
    assert {at for one in union(taken) for at in range(*one)} == {at for one in taken for at in range(*one)}
    assert all(one[1] < two[0] for one, two in zip(union(taken), union(taken)[1:], strict=False))


def test_a_live_batch_goes_on_exactly_where_the_store_says(store: Store) -> None:
    write(store, reads(40, 50), reads(50, 60), reads(7, 9, partition=1))
    for first, end in ((49, 70), (61, 70), (0, 70)):
        with pytest.raises(BatchRefused, match=f"counts prompts/0 from offset {first}, but .* goes on at 60"):
            write(store, reads(first, end))
    assert store.next_offsets("prompts") == {0: 60, 1: 9}
    assert store.counted("prompts") == {0: [(40, 60)], 1: [(7, 9)]}
    assert requests_of(store) == store.counters().consumed == 22


def test_one_partition_that_another_reader_took_over_refuses_the_whole_batch(store: Store) -> None:
    write(store, reads(0, 10), reads(0, 10, partition=1), reads(10, 15, partition=1))
    both = IntakeBatch(
        consumed=4,
        requests={(NOON, CHAT): 4},
        next_offsets={("prompts", 0): 12, ("prompts", 1): 12},
        first_offsets={("prompts", 0): 10, ("prompts", 1): 10},
    )
    with pytest.raises(BatchRefused, match="prompts/1"):
        write(store, both)
    assert store.next_offsets("prompts") == {0: 10, 1: 15}


def test_a_batch_tried_again_after_it_was_written_is_no_fault_and_changes_nothing(store: Store) -> None:
    write(store, reads(0, 10), reads(0, 10))
    write(store, reads(20, 30, partition=3), reads(20, 30, partition=3), backfill=True)
    assert requests_of(store) == store.counters().consumed == 20
    assert store.counted("prompts") == {0: [(0, 10)], 3: [(20, 30)]}


def test_the_place_where_reading_begins_is_stored_once_and_by_the_first(store: Store) -> None:
    write(store, reads(12, 12), reads(15, 15))
    assert store.next_offsets("prompts") == {0: 12}
    assert store.counted("prompts") == {}
    with pytest.raises(BatchRefused, match="goes on at 12"):
        write(store, reads(15, 20))
    write(store, reads(12, 20))
    assert store.counted("prompts") == {0: [(12, 20)]}


def test_a_backfill_fills_what_the_live_reader_left_open_and_nothing_else(store: Store) -> None:
    write(store, reads(100, 120))
    write(store, reads(0, 10), reads(30, 40), reads(10, 30), backfill=True)
    assert store.counted("prompts") == {0: [(0, 40), (100, 120)]}
    for first, end in ((39, 50), (90, 101), (99, 125)):
        with pytest.raises(BatchRefused, match=r"counted already|left to the live reader"):
            write(store, reads(first, end), backfill=True)
    with pytest.raises(BatchRefused, match="goes on at 120: what comes from there on is left to the live"):
        write(store, reads(120, 130), backfill=True)
    write(store, reads(40, 100), backfill=True)
    assert store.counted("prompts") == {0: [(0, 120)]}
    assert store.next_offsets("prompts") == {0: 120}
    assert requests_of(store) == 120


def test_a_live_reader_that_meets_what_a_backfill_counted_passes_it_over_or_is_refused(store: Store) -> None:
    write(store, reads(10, 20), reads(25, 30), backfill=True)
    with pytest.raises(BatchRefused, match="offsets 10 and following of prompts/0 were counted already"):
        write(store, reads(0, 22))
    write(store, reads(0, 22, passed_over=[(10, 20)]))
    assert store.counted("prompts") == {0: [(0, 22), (25, 30)]}
    write(store, reads(22, 30, passed_over=[(25, 30)]))
    assert store.counted("prompts") == {0: [(0, 30)]}
    assert store.next_offsets("prompts") == {0: 30}
    assert requests_of(store) == 30


def test_what_an_earlier_version_counted_begins_at_the_first_offset(store_url: str) -> None:
    database = Database(engine.parse_url(store_url))
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
        connection.execute(
            text(
                "INSERT INTO offsets (topic, partition, next_offset, moved_at) VALUES "
                "('prompts', 0, 70, '2026-03-14 12:00:00'), ('prompts', 1, 0, '2026-03-14 12:00:00')"
            )
        )
    database.close()
    with open_store(store_at(store_url)) as store:
        assert store.counted("prompts") == {0: [(0, 70)]}
        write(store, reads(70, 80), reads(0, 5, partition=1))
        with pytest.raises(BatchRefused, match="left to the live reader"):
            write(store, reads(60, 85), backfill=True)
        write(store, reads(10, 40), backfill=True)  # all of it is there already
        assert store.counted("prompts") == {0: [(0, 80)], 1: [(0, 5)]}
        assert requests_of(store) == 15


def test_a_file_is_known_by_its_lines_under_any_name_and_after_it_grew(store: Store) -> None:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    first = store.file_topic("app.log", ["a1", "a2"], now)
    assert first == "app.log@a2"
    assert store.file_topic("app.log.1.gz", ["a1", "a2", "a3"], now) == first
    assert store.file_topic("copy", ["a1"], now) == first
    assert store.file_topic("app.log", ["a1", "a2", "other"], now) == "app.log@other"
    assert store.file_topic("app.log", ["b1"], now) == "app.log@b1"
