"""What was counted and sampled: strata and how they come and go, cells, samples; and what samples by risk."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from riskmon.store.sealed import SealedBytes, SealedJson
from riskmon.store.tables.columns import ROW_ID, metadata, part_of, position, stratum
from riskmon.store.utc import UtcDateTime

strata = Table(
    "strata",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("first_seen", UtcDateTime, nullable=False),
    # End of its last window with a request, from when it is noticed to have vanished until it is back.
    Column("silent_since", UtcDateTime),
    # When it lost its place among the strata that are kept apart; null while it has one.
    Column("retired_at", UtcDateTime),
)

stratum_events = Table(
    "stratum_events",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("change", Text, nullable=False),
    stratum(),
    Column("since", UtcDateTime),
    Column("share", Double),
)

cells = Table(
    "cells",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("window_start", UtcDateTime, nullable=False),
    stratum(),
    Column("requests", BigInteger, nullable=False),
    # Sampling variance of `requests`; 0 where every message was read.
    Column("variance", Double, nullable=False, server_default="0"),
    # The smallest sample size this cell was ever pruned to: see `intake`.
    Column("keep", Integer, nullable=False),
    # The smallest priority that was refused or displaced; null where nothing was.
    Column("left_out", Double),
    # Whether some of it was read with a scorer.
    Column("scored", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("window_start", "stratum_id"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    part_of("cell_id", "cells"),
    *position(),
    Column("priority", Double, nullable=False),
    Column("size", Double, nullable=False, server_default="1"),
    Column("stands_for", Double, nullable=False, server_default="1"),
    # JSON, because its escapes carry every character; a PostgreSQL text refuses NUL.
    Column("prompt_id", JSON, nullable=False),
    # What was asked, sealed: text, or pairs of role and text.
    Column("body", SealedJson("samples.body"), nullable=False),
    # What the deployed model answered, sealed; only until it is judged.
    Column("response", SealedJson("samples.response")),
    UniqueConstraint("topic", "partition", "offset"),
    Index(None, "cell_id", "priority"),
)

scorers = Table(
    "scorers",
    metadata,
    # One row: the newest scorer replaces the last.
    Column("id", ROW_ID, primary_key=True, autoincrement=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("facts", JSON, nullable=False),
    # float32, little endian; sealed, since it tells of words in prompts. Null where no scorer is to be used.
    Column("coefficients", SealedBytes("scorers.coefficients")),
)
