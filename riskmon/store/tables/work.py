"""The estimate cycles: their health, the prompts it worked on, and the plans that it drew by."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from riskmon.store.tables.columns import ROW_ID, cost, harm, metadata, part_of, position, stratum
from riskmon.store.utc import UtcDateTime

cycles = Table(
    "cycles",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False),
    # Everything below is null until the cycle finishes.
    Column("finished_at", UtcDateTime, index=True),
    Column("prompts", BigInteger),
    Column("failures", JSON(none_as_null=True)),
    Column("left_out", BigInteger),
    *cost(nullable=True),
    Column("weight_mean", Double),
    Column("path_discrepancy", Double),
    Column("complete", Boolean),
)

cycle_health = Table(
    "cycle_health",
    metadata,
    part_of("cycle_id", "cycles"),
    Column("place", Integer, nullable=False),
    harm(),
    Column("ess_ratio", Double),
    Column("khat", Double),
    Column("coverage_gap_ratio", Double, nullable=False),
    Column("target_draws", BigInteger, nullable=False),
    Column("gap_hits", BigInteger, nullable=False),
    Column("uncovered_upper", Double, nullable=False),
    # How many estimates carry each flag, by name; null where nobody counted.
    Column("flagged", JSON(none_as_null=True)),
    PrimaryKeyConstraint("cycle_id", "place"),
)

results = Table(
    "results",
    metadata,
    *position(),
    Column("cycle_id", ROW_ID, ForeignKey("cycles.id", ondelete="SET NULL"), index=True),
    Column("failure", Text),
    Column("written_at", UtcDateTime, nullable=False),
    # What was spent and counted so far; null where the prompt failed.
    Column("draws", BigInteger),
    *cost(nullable=True),
    PrimaryKeyConstraint("topic", "partition", "offset"),
)

plans = Table(
    "plans",
    metadata,
    Column("made_at", UtcDateTime, nullable=False),
    Column("place", Integer, nullable=False),
    # Null is every stratum without a plan of its own.
    stratum(nullable=True),
    Column("hits", BigInteger, nullable=False),
    Column("effective_hits", Double, nullable=False),
    Column("gain_nats", Double),
    Column("reason", Text, nullable=False),
    Column("members", JSON, nullable=False),
    PrimaryKeyConstraint("made_at", "place"),
)
