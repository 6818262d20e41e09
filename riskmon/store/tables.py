"""The tables, once: what each row means and what disappears with it.

    strata ──< cells ──< samples ──< estimates        a cell is one stratum in one counting window
                 │       (position) ├─< hits          harmful answers, as sensitive as the prompts
                 │                  └─< verdicts      on the deployed model's own response
                 └─< judged                           verdicts counted, once their prompts are purged
    cycles ──< results   (position)                   the ledger of prompts worked on, kept by position
           └─< cycle_health
    sensitivity_runs ──< sensitivity_prompts  one per prompt and harm: its id and figures, never text
                     └─< sensitivity_strata
    offsets, counters, traffic_status, forecasts, changes, plans, backtests      stand alone

Deleting a cell deletes its samples, and with a sample go its text, its estimates, its hits and its verdicts. `results`
refers to a position rather than to a sample: it outlives a prompt that was displaced, so that no work is counted twice.

The migrations build the same tables; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from riskmon.store.utc import UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared exactly INTEGER, which there holds 64 bits.
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")

strata = Table(
    "strata",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("first_seen", UtcDateTime, nullable=False),
)

cells = Table(
    "cells",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("window_start", UtcDateTime, nullable=False),
    Column("stratum_id", ROW_ID, ForeignKey("strata.id"), nullable=False),
    Column("requests", BigInteger, nullable=False),
    # The smallest sample size this cell was ever pruned to: see `intake`.
    Column("keep", Integer, nullable=False),
    UniqueConstraint("window_start", "stratum_id"),
)

samples = Table(
    "samples",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("cell_id", ROW_ID, ForeignKey("cells.id", ondelete="CASCADE"), nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("priority", Double, nullable=False),
    # JSON, because its escapes carry every character; a PostgreSQL text refuses NUL.
    Column("prompt_id", JSON, nullable=False),
    Column("body", JSON, nullable=False),
    UniqueConstraint("topic", "partition", "offset"),
    Index(None, "cell_id", "priority"),
)

estimates = Table(
    "estimates",
    metadata,
    Column("sample_id", ROW_ID, ForeignKey("samples.id", ondelete="CASCADE"), nullable=False),
    Column("harm", Text, nullable=False),
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
    Column("tokens", BigInteger, nullable=False),
    Column("device_seconds", Double, nullable=False),
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
    Column("sample_id", ROW_ID, ForeignKey("samples.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("harm", Text, nullable=False, index=True),
    Column("tokens", JSON, nullable=False),
    Column("weight", Double, nullable=False),
    Column("uncovered", Boolean, nullable=False),
    # A fingerprint of the voices, and how many they are.
    Column("voices", Text, nullable=False),
    Column("voice_count", Integer, nullable=False),
    # float32, little endian, one row of tokens after another.
    Column("log_probs", LargeBinary, nullable=False),
    Column("written_at", UtcDateTime, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("sample_id", ROW_ID, ForeignKey("samples.id", ondelete="CASCADE"), nullable=False),
    Column("harm", Text, nullable=False),
    Column("harmful", Boolean, nullable=False),
    PrimaryKeyConstraint("sample_id", "harm"),
)

judged = Table(
    "judged",
    metadata,
    Column("cell_id", ROW_ID, ForeignKey("cells.id", ondelete="CASCADE"), nullable=False),
    Column("harm", Text, nullable=False),
    Column("judged", BigInteger, nullable=False),
    Column("harmful", BigInteger, nullable=False),
    PrimaryKeyConstraint("cell_id", "harm"),
)

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
    Column("tokens", BigInteger),
    Column("device_seconds", Double),
    Column("weight_mean", Double),
    Column("path_discrepancy", Double),
    Column("complete", Boolean),
)

cycle_health = Table(
    "cycle_health",
    metadata,
    Column("cycle_id", ROW_ID, ForeignKey("cycles.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("harm", Text, nullable=False),
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
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("cycle_id", ROW_ID, ForeignKey("cycles.id", ondelete="SET NULL"), index=True),
    Column("failure", Text),
    Column("written_at", UtcDateTime, nullable=False),
    # What was spent and counted so far; null where the prompt failed.
    Column("draws", BigInteger),
    Column("tokens", BigInteger),
    Column("device_seconds", Double),
    PrimaryKeyConstraint("topic", "partition", "offset"),
)

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("made_at", UtcDateTime, nullable=False, index=True),
    Column("harm", Text, nullable=False),
    # Null is the total over strata.
    Column("stratum_id", ROW_ID, ForeignKey("strata.id")),
    Column("expected", Double, nullable=False),
    Column("lower", Double, nullable=False),
    Column("upper", Double, nullable=False),
    Column("any_probability", Double, nullable=False),
    Column("requests", Double, nullable=False),
    Column("harm_probability", Double, nullable=False),
    Column("harm_probability_upper", Double, nullable=False),
    Column("worst_query_probability", Double),
    Column("prompts", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("basis", Text, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("lower_50", Double),
    Column("upper_50", Double),
    Column("lower_99", Double),
    Column("upper_99", Double),
    Column("over_budget_probability", Double),
    Column("requests_stderr", Double),
    Column("harm_probability_stderr", Double),
    # Shares by name.
    Column("variance", JSON(none_as_null=True)),
    Column("unseen_share", Double),
    Column("retries", Integer),
    Column("retry_probability", Double),
    Column("retry_lower", Double),
    Column("retry_upper", Double),
)
_IS_TOTAL = forecasts.c.stratum_id.is_(None)
Index("ix_forecasts_totals", forecasts.c.made_at, sqlite_where=_IS_TOTAL, postgresql_where=_IS_TOTAL)

changes = Table(
    "changes",
    metadata,
    # The moment of the forecasts that are compared.
    Column("made_at", UtcDateTime, nullable=False),
    Column("place", Integer, nullable=False),
    Column("harm", Text, nullable=False),
    # Label and both values, in JSON as the text of prompts is; null is the change since a day before.
    Column("versions", JSON(none_as_null=True)),
    # Part -> mean and limits.
    Column("effects", JSON, nullable=False),
    PrimaryKeyConstraint("made_at", "place"),
)

# The newest back-test alone: writing replaces all rows.
backtests = Table(
    "backtests",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("made_at", UtcDateTime, nullable=False),
    Column("harm", Text, nullable=False),
    # Null is the total over strata.
    Column("stratum_id", ROW_ID, ForeignKey("strata.id")),
    Column("body", JSON, nullable=False),
)

plans = Table(
    "plans",
    metadata,
    Column("made_at", UtcDateTime, nullable=False),
    Column("place", Integer, nullable=False),
    # Null is every stratum without a plan of its own.
    Column("stratum_id", ROW_ID, ForeignKey("strata.id")),
    Column("hits", BigInteger, nullable=False),
    Column("effective_hits", Double, nullable=False),
    Column("gain_nats", Double),
    Column("reason", Text, nullable=False),
    Column("members", JSON, nullable=False),
    PrimaryKeyConstraint("made_at", "place"),
)

sensitivity_runs = Table(
    "sensitivity_runs",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("started_at", UtcDateTime, nullable=False, unique=True),
    Column("finished_at", UtcDateTime, nullable=False, index=True),
    Column("failures", JSON, nullable=False),
    Column("left_out", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("device_seconds", Double, nullable=False),
    Column("complete", Boolean, nullable=False),
)

sensitivity_prompts = Table(
    "sensitivity_prompts",
    metadata,
    Column("run_id", ROW_ID, ForeignKey("sensitivity_runs.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    # Not a sample's row: the figures outlive the prompt. JSON as in `samples`.
    Column("prompt_id", JSON, nullable=False),
    Column("harm", Text, nullable=False),
    Column("stratum_id", ROW_ID, ForeignKey("strata.id"), nullable=False),
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
    Column("run_id", ROW_ID, ForeignKey("sensitivity_runs.id", ondelete="CASCADE"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("harm", Text, nullable=False),
    Column("stratum_id", ROW_ID, ForeignKey("strata.id"), nullable=False),
    Column("prompts", BigInteger, nullable=False),
    Column("worst", Double),
    Column("worst_low", Double, nullable=False),
    Column("worst_high", Double),
    Column("log10_spread", Double),
    PrimaryKeyConstraint("run_id", "place"),
)

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("topic", "partition"),
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
    # One row: the newest status replaces the last.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("up", Boolean, nullable=False),
    Column("lag_messages", BigInteger),
    Column("at", UtcDateTime, nullable=False),
    Column("detail", Text, nullable=False),
)
