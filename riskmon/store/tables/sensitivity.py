"""Runs of the sensitivity job; they hold ids and figures, and no text."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Double, Integer, PrimaryKeyConstraint, Table

from riskmon.store.tables.columns import ROW_ID, cost, harm, metadata, part_of, stratum
from riskmon.store.utc import UtcDateTime

sensitivity_runs = Table(
    "sensitivity_runs",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False, unique=True),
    Column("finished_at", UtcDateTime, nullable=False, index=True),
    Column("failures", JSON, nullable=False),
    Column("left_out", BigInteger, nullable=False),
    *cost(),
    Column("complete", Boolean, nullable=False),
)

sensitivity_prompts = Table(
    "sensitivity_prompts",
    metadata,
    part_of("run_id", "sensitivity_runs"),
    Column("place", Integer, nullable=False),
    # Not a sample's row: the figures outlive the prompt. JSON as in `samples`.
    Column("prompt_id", JSON, nullable=False),
    harm(),
    stratum(),
    Column("base_p", Double),
    Column("base_upper", Double, nullable=False),
    Column("variants", BigInteger, nullable=False),
    Column("with_hits", BigInteger, nullable=False),
    Column("doubtful", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("mean", Double, nullable=False),
    Column("mean_stderr", Double),
    Column("mean_upper", Double, nullable=False),
    Column("geometric_mean", Double),
    # Pairs of level and p.
    Column("quantiles", JSON, nullable=False),
    Column("log10_sd", Double),
    Column("log10_sd_low", Double),
    Column("log10_sd_high", Double),
    Column("worst", Double),
    Column("worst_low", Double, nullable=False),
    Column("worst_high", Double),
    Column("worst_observed", Double),
    # Begins with the prompt's id.
    Column("worst_variant", JSON(none_as_null=True)),
    Column("base_to_mean", Double),
    Column("worst_share", Double),
    PrimaryKeyConstraint("run_id", "place"),
)

sensitivity_strata = Table(
    "sensitivity_strata",
    metadata,
    part_of("run_id", "sensitivity_runs"),
    Column("place", Integer, nullable=False),
    harm(),
    stratum(),
    Column("prompts", BigInteger, nullable=False),
    Column("worst", Double),
    Column("worst_low", Double, nullable=False),
    Column("worst_high", Double),
    Column("log10_spread", Double),
    PrimaryKeyConstraint("run_id", "place"),
)
