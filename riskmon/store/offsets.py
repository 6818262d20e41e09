"""Where reading resumes, and the proof that nothing is counted twice.

The next offset of a partition is committed together with the counts of the messages before it. So a batch is
refused when its messages may have been counted already:

- a partition's next offset lies behind the stored one (an older batch, or a topic made anew under the same name);
- messages were consumed but no partition moved forward (the very same batch again);
- a sampled message lies before the stored offset (another reader took over this partition meanwhile).

A refused batch leaves nothing behind. The caller needs one rule for every failure of a write, a lost connection
with unknown outcome included: drop the batch and resume from the stored offsets. What was committed lies before
them, what was not is read again.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select

from riskmon.errors import StoreUnavailable
from riskmon.records import IntakeBatch
from riskmon.store.tables import offsets
from riskmon.store.upsert import insert


def read(connection: Connection, topic: str) -> dict[int, int]:
    """Next offset per partition of a topic."""
    query = select(offsets.c.partition, offsets.c.next_offset).where(offsets.c.topic == topic)
    return {row.partition: row.next_offset for row in connection.execute(query.order_by("partition"))}


def move(connection: Connection, batch: IntakeBatch, now: datetime) -> None:
    """Stores the batch's next offsets.

    Raises:
        StoreUnavailable: messages of the batch may have been counted already.
    """
    topics = {topic for topic, _ in batch.next_offsets} | {
        sampled.prompt.position.topic for sampled in batch.sample if sampled.prompt.position is not None
    }
    stored = {
        (topic, partition): offset
        for topic in topics
        for partition, offset in read(connection, topic).items()
    }
    _refuse_replay(batch, stored)
    moved = {part: at for part, at in batch.next_offsets.items() if stored.get(part, -1) < at}
    if not moved:
        return
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


def _refuse_replay(batch: IntakeBatch, stored: dict[tuple[str, int], int]) -> None:
    for (topic, partition), offset in batch.next_offsets.items():
        at = stored.get((topic, partition), 0)
        if offset < at:
            raise StoreUnavailable(
                f"{topic}/{partition} is counted up to offset {at}, but the batch ends at {offset}: resume from "
                "the stored offsets; a topic made anew under an old name needs another name or an empty store"
            )
    if batch.consumed and all(stored.get(part, 0) >= at for part, at in batch.next_offsets.items()):
        raise StoreUnavailable(
            "the batch consumed messages without moving any offset forward: it was written already; "
            "resume from the stored offsets"
        )
    for sampled in batch.sample:
        position = sampled.prompt.position
        if position is not None and position.offset < stored.get((position.topic, position.partition), 0):
            raise StoreUnavailable(
                f"the batch samples {position}, which was counted already; resume from the stored offsets"
            )
