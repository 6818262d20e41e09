"""What was found in sampled prompts: estimates, harmful answers, verdicts on the deployment's own responses."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from riskmon.store.sealed import SealedBytes, SealedJson
from riskmon.store.tables.columns import ROW_ID, cost, harm, metadata, part_of
from riskmon.store.utc import UtcDateTime

estimates = Table(
    "estimates",
    metadata,
    part_of("sample_id", "samples"),
    harm(),
    Column("p", Double, nullable=False),
    Column("stderr", Double),
    Column("ci_low", Double, nullable=False),
    Column("ci_high", Double, nullable=False),
    Column("upper_bound", Double, nullable=False),
    Column("n", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("ess", Double, nullable=False),
    Column("khat", Double),
    Column("weight_mean", Double, nullable=False),
    Column("flags", JSON, nullable=False),
    *cost(),
    Column("weight_z", Double),
    Column("target_draws", BigInteger, nullable=False),
    Column("gap_hits", BigInteger, nullable=False),
    Column("unreadable", BigInteger, nullable=False),
    Column("path_discrepancy", Double, nullable=False),
    PrimaryKeyConstraint("sample_id", "harm"),
)

hits = Table(
    "hits",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    part_of("sample_id", "samples", index=True),
    Column("harm", Text, nullable=False, index=True),
    # Sealed: the answer itself.
    Column("tokens", SealedJson("hits.tokens"), nullable=False),
    Column("weight", Double, nullable=False),
    Column("uncovered", Boolean, nullable=False),
    # A fingerprint of the voices, and how many they are.
    Column("voices", Text, nullable=False),
    Column("voice_count", Integer, nullable=False),
    # float32, little endian, one row of tokens after another; sealed, since the answer can be told from them.
    Column("log_probs", SealedBytes("hits.log_probs"), nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    part_of("sample_id", "samples"),
    harm(),
    Column("harmful", Boolean, nullable=False),
    # Whether no proposal but the target itself reaches this harm; null where that was not asked.
    Column("uncovered", Boolean),
    PrimaryKeyConstraint("sample_id", "harm"),
)

judged = Table(
    "judged",
    metadata,
    part_of("cell_id", "cells"),
    harm(),
    # Effective numbers: see `riskmon.store.judged`.
    Column("judged", Double, nullable=False),
    Column("harmful", Double, nullable=False),
    PrimaryKeyConstraint("cell_id", "harm"),
)
