"""The first schema; `riskmon.store.tables` says what each table means."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "label", name=op.f("pk_counters")),
    )
    op.create_table(
        "cycles",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT),
        sa.Column("prompts", sa.BigInteger()),
        sa.Column("failures", sa.JSON()),
        sa.Column("left_out", sa.BigInteger()),
        sa.Column("tokens", sa.BigInteger()),
        sa.Column("device_seconds", sa.Double()),
        sa.Column("weight_mean", sa.Double()),
        sa.Column("path_discrepancy", sa.Double()),
        sa.Column("complete", sa.Boolean()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cycles")),
    )
    op.create_index(op.f("ix_cycles_finished_at"), "cycles", ["finished_at"])
    op.create_table(
        "offsets",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", name=op.f("pk_offsets")),
    )
    op.create_table(
        "strata",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("first_seen", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strata")),
        sa.UniqueConstraint("key", name=op.f("uq_strata_key")),
    )
    op.create_table(
        "traffic_status",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("up", sa.Boolean(), nullable=False),
        sa.Column("lag_messages", sa.BigInteger()),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_traffic_status")),
    )
    op.create_table(
        "cells",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("window_start", INSTANT, nullable=False),
        sa.Column("stratum_id", ROW_ID, nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("keep", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["stratum_id"], ["strata.id"], name=op.f("fk_cells_stratum_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cells")),
        sa.UniqueConstraint("window_start", "stratum_id", name=op.f("uq_cells_window_start_stratum_id")),
    )
    op.create_table(
        "cycle_health",
        sa.Column("cycle_id", ROW_ID, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("ess_ratio", sa.Double()),
        sa.Column("khat", sa.Double()),
        sa.Column("coverage_gap_ratio", sa.Double(), nullable=False),
        sa.Column("target_draws", sa.BigInteger(), nullable=False),
        sa.Column("gap_hits", sa.BigInteger(), nullable=False),
        sa.Column("uncovered_upper", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_cycle_health_cycle_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cycle_id", "place", name=op.f("pk_cycle_health")),
    )
    op.create_table(
        "forecasts",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("stratum_id", ROW_ID),
        sa.Column("expected", sa.Double(), nullable=False),
        sa.Column("lower", sa.Double(), nullable=False),
        sa.Column("upper", sa.Double(), nullable=False),
        sa.Column("any_probability", sa.Double(), nullable=False),
        sa.Column("daily_requests", sa.Double(), nullable=False),
        sa.Column("harm_probability", sa.Double(), nullable=False),
        sa.Column("harm_probability_upper", sa.Double(), nullable=False),
        sa.Column("worst_query_probability", sa.Double()),
        sa.Column("prompts", sa.BigInteger(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["stratum_id"], ["strata.id"], name=op.f("fk_forecasts_stratum_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forecasts")),
    )
    op.create_index(op.f("ix_forecasts_made_at"), "forecasts", ["made_at"])
    op.create_table(
        "results",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("cycle_id", ROW_ID),
        sa.Column("failure", sa.Text()),
        sa.Column("written_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["cycle_id"], ["cycles.id"], name=op.f("fk_results_cycle_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", name=op.f("pk_results")),
    )
    op.create_index(op.f("ix_results_cycle_id"), "results", ["cycle_id"])
    op.create_table(
        "samples",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("cell_id", ROW_ID, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Double(), nullable=False),
        sa.Column("prompt_id", sa.JSON(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cell_id"], ["cells.id"], name=op.f("fk_samples_cell_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_samples")),
        sa.UniqueConstraint("topic", "partition", "offset", name=op.f("uq_samples_topic_partition_offset")),
    )
    op.create_index(op.f("ix_samples_cell_id_priority"), "samples", ["cell_id", "priority"])
    op.create_table(
        "estimates",
        sa.Column("sample_id", ROW_ID, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("p", sa.Double(), nullable=False),
        sa.Column("stderr", sa.Double()),
        sa.Column("ci_low", sa.Double(), nullable=False),
        sa.Column("ci_high", sa.Double(), nullable=False),
        sa.Column("upper_bound", sa.Double(), nullable=False),
        sa.Column("n", sa.BigInteger(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("ess", sa.Double(), nullable=False),
        sa.Column("khat", sa.Double()),
        sa.Column("weight_mean", sa.Double(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.Column("weight_z", sa.Double()),
        sa.Column("target_draws", sa.BigInteger(), nullable=False),
        sa.Column("gap_hits", sa.BigInteger(), nullable=False),
        sa.Column("unreadable", sa.BigInteger(), nullable=False),
        sa.Column("path_discrepancy", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name=op.f("fk_estimates_sample_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sample_id", "harm", name=op.f("pk_estimates")),
    )
