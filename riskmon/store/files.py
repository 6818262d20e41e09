"""Which file is which: the same log under another name, compressed, or grown, is the same file.

A file is known by its first `LINES` lines, each as a running digest of all up to it. Two files are the same where these
agree as far as both go; the longer one then stands for both, since a log grows at its end. Its offsets are bytes of the
unpacked text, so what was counted of it under one name need not be counted under another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from riskmon.store.tables import ingested_files
from riskmon.store.upsert import insert

LINES = 100
"""Lines that tell a file. Two logs that agree in so many, ids and times included, are copies."""


def topic_of(connection: Connection, name: str, lines: Sequence[str], now: datetime) -> str:
    """The topic under which a file's lines are counted; a file that is new gets one made of its name and digest.

    Args:
        name: the file's name.
        lines: running digests of its first lines, `LINES` at most and one at least.
        now: stamps a new file.
    """
    query = select(ingested_files.c.topic, ingested_files.c.lines).where(
        ingested_files.c.first_line == lines[0]
    )
    for topic, known in connection.execute(query.order_by("topic")):
        common = min(len(known), len(lines))
        if known[common - 1] != lines[common - 1]:
            continue
        if len(lines) > len(known):
            connection.execute(
                update(ingested_files)
                .where(ingested_files.c.topic == topic)
                .values(lines=list(lines), seen_at=now)
            )
        return str(topic)
    topic = f"{name}@{lines[-1][:16]}"
    connection.execute(
        insert(connection, ingested_files).values(
            topic=topic, first_line=lines[0], lines=list(lines), seen_at=now
        )
    )
    return topic
