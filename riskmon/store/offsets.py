"""Where reading resumes and what was counted: the proof that nothing is counted twice.

Two facts per partition are committed together with the counts that they speak of. `offsets` holds where the live reader
goes on. `counted` holds every offset that was ever counted, live or by a backfill, as disjoint ranges [begin, end). A
live reader that begins at the latest message leaves the range before it open, and a backfill fills it.

**Compare and swap.** A live batch says from which offset it counts. It is refused unless that is where the store says
that reading goes on, or nothing is stored. So of two readers of one partition, at most one can count a message, whoever
is late: a process that was thought dead, a reader that lost its partition to another, a batch tried again.

**No overlap.** What a batch counts must not have been counted. A backfill may not count what lies ahead of the live
reader either, which would reach it later.

A refused batch leaves nothing behind: drop it and resume from the stored offsets. What was committed lies before them,
what was not is read again. A batch that was written already, wholly and exactly, is no fault: a write whose outcome was
lost with its connection is simply tried again. Where a batch cannot say from where it counts, it counts from the stored
offset, or from 0, and any sign that a message may have been counted refuses it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select, tuple_

from riskmon.errors import BatchRefused
from riskmon.records import IntakeBatch
from riskmon.records.ranges import Range, union, without
from riskmon.store.tables import counted, offsets
from riskmon.store.upsert import insert

_Part = tuple[str, int]


def read(connection: Connection, topic: str) -> dict[int, int]:
    """Where the live reader goes on, per partition of a topic."""
    query = select(offsets.c.partition, offsets.c.next_offset).where(offsets.c.topic == topic)
    return {row.partition: row.next_offset for row in connection.execute(query.order_by("partition"))}


def read_counted(connection: Connection, topic: str) -> dict[int, list[Range]]:
    """What was counted, per partition of a topic: disjoint ranges in order."""
    query = select(counted.c.partition, counted.c.begin, counted.c.end).where(counted.c.topic == topic)
    ranges = defaultdict(list)
    for partition, begin, end in connection.execute(query.order_by("partition", "begin")):
        ranges[partition].append((begin, end))
    return dict(ranges)


def read_ahead(connection: Connection, topic: str) -> dict[int, list[Range]]:
    """What was counted ahead of the live reader, per partition of a topic where there is such."""
    following = read(connection, topic)
    ahead = {
        partition: [one for one in ranges if one[1] > following.get(partition, 0)]
        for partition, ranges in read_counted(connection, topic).items()
    }
    return {partition: ranges for partition, ranges in ahead.items() if ranges}


def move(connection: Connection, batch: IntakeBatch, now: datetime) -> bool:
    """Takes over the offsets that a live batch counts.

    Returns:
        Whether the batch is new; False where it was written already, exactly as it is.

    Raises:
        BatchRefused: it does not follow on what the store has.
    """
    stored = _stored(connection, batch)
    moving = {part: at for part, at in batch.first_offsets.items() if at < batch.next_offsets[part]}
    if moving and all(stored.get(part) == batch.next_offsets[part] for part in moving):
        return False
    for part, first in moving.items():
        if stored.get(part, first) != first:
            raise BatchRefused(
                f"the batch counts {_name(part)} from offset {first}, but the store goes on at {stored[part]}: "
                "resume from the stored offsets; a topic made anew under an old name needs another name or an empty "
                "store"
            )
    _refuse_replay(batch, stored)
    begun = {part: stored.get(part, 0) for part in batch.next_offsets} | dict(batch.first_offsets)
    _add_counted(connection, _counts(batch, begun))
    moved = {part: at for part, at in batch.next_offsets.items() if part not in stored or begun[part] < at}
    if not moved:
        return True
    statement = insert(connection, offsets)
    statement = statement.on_conflict_do_update(
        index_elements=[offsets.c.topic, offsets.c.partition],
        set_={"next_offset": statement.excluded.next_offset, "moved_at": statement.excluded.moved_at},
    )
    rows = [
        {"topic": topic, "partition": partition, "next_offset": offset, "moved_at": now}
        for (topic, partition), offset in moved.items()
    ]
    connection.execute(statement, rows)
    return True


def fill(connection: Connection, batch: IntakeBatch) -> bool:
    """Takes over the offsets that a batch of a backfill counts; where the live reader goes on stays.

    Returns:
        As `move`.

    Raises:
        BatchRefused: some are counted already, or lie ahead of the live reader.
    """
    ranges = _counts(batch, batch.first_offsets)
    known = _known(connection, ranges)
    if batch.consumed and not any(without(one, known[part]) for part, some in ranges.items() for one in some):
        return False
    for part, next_offset in _stored(connection, batch).items():
        if any(end > next_offset for _, end in ranges.get(part, ())):
            raise BatchRefused(
                f"{_name(part)} is read live, and reading goes on at {next_offset}: what comes from there on is left "
                "to the live reader"
            )
    _add_counted(connection, ranges)
    return True


def _stored(connection: Connection, batch: IntakeBatch) -> dict[_Part, int]:
    topics = {topic for topic, _ in batch.next_offsets} | {
        sampled.prompt.position.topic for sampled in batch.sample if sampled.prompt.position is not None
    }
    return {
        (topic, partition): offset
        for topic in topics
        for partition, offset in read(connection, topic).items()
    }


def _counts(batch: IntakeBatch, begun: Mapping[_Part, int]) -> dict[_Part, list[Range]]:
    """What the batch counts, per partition."""
    return {
        part: without((begun[part], end), batch.passed_over.get(part, ()))
        for part, end in batch.next_offsets.items()
        if begun[part] < end
    }


def _known(connection: Connection, ranges: Mapping[_Part, Sequence[Range]]) -> dict[_Part, list[Range]]:
    """Stored ranges that touch or overlap those given, or lie after them."""
    known: dict[_Part, list[Range]] = {part: [] for part in ranges}
    lowest = min((begin for some in ranges.values() for begin, _ in some), default=None)
    if lowest is None:
        return known
    query = select(counted).where(
        counted.c.topic.in_({topic for topic, _ in ranges}), counted.c.end >= lowest
    )
    for topic, partition, begin, end in connection.execute(query):
        if (topic, partition) in known:
            known[topic, partition].append((begin, end))
    return known


def _add_counted(connection: Connection, ranges: Mapping[_Part, Sequence[Range]]) -> None:
    rows, absorbed = [], []
    known = _known(connection, ranges)
    for part, new in ranges.items():
        for one in new:
            if taken := [old for old in known[part] if old[0] < one[1] and one[0] < old[1]]:
                raise BatchRefused(
                    f"offsets {max(one[0], taken[0][0])} and following of {_name(part)} were counted already: "
                    "resume from the stored offsets"
                )
        merged = union([*known[part], *new])
        absorbed += [(*part, begin) for begin in {old[0] for old in known[part]} - {one[0] for one in merged}]
        rows += [
            {"topic": part[0], "partition": part[1], "begin": begin, "end": end}
            for begin, end in merged
            if (begin, end) not in known[part]
        ]
    if absorbed:
        key = tuple_(counted.c.topic, counted.c.partition, counted.c.begin)
        connection.execute(delete(counted).where(key.in_(absorbed)))
    if rows:
        statement = insert(connection, counted)
        statement = statement.on_conflict_do_update(
            index_elements=[counted.c.topic, counted.c.partition, counted.c.begin],
            set_={"end": statement.excluded.end},
        )
        connection.execute(statement, rows)


def _refuse_replay(batch: IntakeBatch, stored: Mapping[_Part, int]) -> None:
    """Refuse what may have been counted, whatever the batch says."""
    for part, offset in batch.next_offsets.items():
        if offset < stored.get(part, 0) and batch.first_offsets.get(part) != offset:
            raise BatchRefused(
                f"{_name(part)} is counted up to offset {stored[part]}, but the batch ends at {offset}: resume from "
                "the stored offsets; a topic made anew under an old name needs another name or an empty store"
            )
    if batch.consumed and all(stored.get(part, 0) >= at for part, at in batch.next_offsets.items()):
        raise BatchRefused(
            "the batch consumed messages without moving any offset forward: it was written already; "
            "resume from the stored offsets"
        )
    for sampled in batch.sample:
        position = sampled.prompt.position
        if position is not None and position.offset < stored.get((position.topic, position.partition), 0):
            raise BatchRefused(
                f"the batch samples {position}, which was counted already; resume from the stored offsets"
            )


def _name(part: _Part) -> str:
    return f"{part[0]}/{part[1]}"
