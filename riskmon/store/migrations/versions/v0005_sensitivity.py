"""Runs of the sensitivity job."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "sensitivity_runs",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=False),
        sa.Column("failures", sa.JSON(), nullable=False),
        sa.Column("left_out", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("device_seconds", sa.Double(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sensitivity_runs")),
        sa.UniqueConstraint("started_at", name=op.f("uq_sensitivity_runs_started_at")),
    )
    op.create_index(op.f("ix_sensitivity_runs_finished_at"), "sensitivity_runs", ["finished_at"])
    _of_a_run(
        "sensitivity_prompts",
        sa.Column("prompt_id", sa.JSON(), nullable=False),
        *_cell(),
        sa.Column("base_p", sa.Double()),
        sa.Column("base_upper", sa.Double(), nullable=False),
        sa.Column("variants", sa.BigInteger(), nullable=False),
        sa.Column("with_hits", sa.BigInteger(), nullable=False),
        sa.Column("doubtful", sa.BigInteger(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("mean", sa.Double(), nullable=False),
        sa.Column("mean_stderr", sa.Double()),
        sa.Column("mean_upper", sa.Double(), nullable=False),
        sa.Column("geometric_mean", sa.Double()),
        sa.Column("quantiles", sa.JSON(), nullable=False),
        sa.Column("log10_sd", sa.Double()),
        sa.Column("log10_sd_low", sa.Double()),
        sa.Column("log10_sd_high", sa.Double()),
        *_worst(),
        sa.Column("worst_observed", sa.Double()),
        sa.Column("worst_variant", sa.JSON(none_as_null=True)),
        sa.Column("base_to_mean", sa.Double()),
        sa.Column("worst_share", sa.Double()),
    )
    _of_a_run(
        "sensitivity_strata",
        *_cell(),
        sa.Column("prompts", sa.BigInteger(), nullable=False),
        *_worst(),
        sa.Column("log10_spread", sa.Double()),
    )


def _of_a_run(name: str, *columns: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("run_id", ROW_ID, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        *columns,
        sa.ForeignKeyConstraint(
            ["run_id"], ["sensitivity_runs.id"], name=op.f(f"fk_{name}_run_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["stratum_id"], ["strata.id"], name=op.f(f"fk_{name}_stratum_id")),
        sa.PrimaryKeyConstraint("run_id", "place", name=op.f(f"pk_{name}")),
    )


def _cell() -> tuple[sa.Column[object], ...]:
    return sa.Column("harm", sa.Text(), nullable=False), sa.Column("stratum_id", ROW_ID, nullable=False)


def _worst() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("worst", sa.Double()),
        sa.Column("worst_low", sa.Double(), nullable=False),
        sa.Column("worst_high", sa.Double()),
    )
