"""What stands alone: what of the source was read and how it is, totals of the store's life, leases, ids of keys."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, PrimaryKeyConstraint, Table, Text

from riskmon.store.tables.columns import metadata
from riskmon.store.utc import UtcDateTime

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
)

# Offsets that were counted, live or by a backfill: [begin, end) ranges of a partition that neither overlap nor touch.
counted = Table(
    "counted",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("begin", BigInteger, nullable=False),
    Column("end", BigInteger, nullable=False),
    PrimaryKeyConstraint("topic", "partition", "begin"),
)

ingested_files = Table(
    "ingested_files",
    metadata,
    # Under which the file's lines are counted and sampled.
    Column("topic", Text, primary_key=True),
    # What tells its content from that of other files: `riskmon.store.files`.
    Column("first_line", Text, nullable=False, index=True),
    Column("lines", JSON, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
)

counters = Table(
    "counters",
    metadata,
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    # Seconds are fractional; whole numbers are exact in a double up to 2^53.
    Column("value", Double, nullable=False),
    PrimaryKeyConstraint("name", "label"),
)

traffic_status = Table(
    "traffic_status",
    metadata,
    # One row per reader: its newest status replaces its last.
    Column("reader", Text, primary_key=True),
    Column("up", Boolean, nullable=False),
    Column("lag_messages", BigInteger),
    Column("at", UtcDateTime, nullable=False),
    Column("detail", Text, nullable=False),
    # Whether the reader has said that it ends.
    Column("ended", Boolean, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("until", UtcDateTime, nullable=False),
)

store_keys = Table(
    "store_keys",
    metadata,
    # Of a key that text is sealed with; the key itself is in no table.
    Column("id", Text, primary_key=True),
    Column("first_used", UtcDateTime, nullable=False),
)
