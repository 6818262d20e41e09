"""Harmful draws and the plans made from them; the ledger says what was spent on a prompt."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "hits",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("sample_id", ROW_ID, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("tokens", sa.JSON(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("uncovered", sa.Boolean(), nullable=False),
        sa.Column("voices", sa.Text(), nullable=False),
        sa.Column("voice_count", sa.Integer(), nullable=False),
        sa.Column("log_probs", sa.LargeBinary(), nullable=False),
        sa.Column("written_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name=op.f("fk_hits_sample_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hits")),
    )
    op.create_index(op.f("ix_hits_sample_id"), "hits", ["sample_id"])
    op.create_index(op.f("ix_hits_harm"), "hits", ["harm"])
    op.create_table(
        "plans",
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("stratum_id", ROW_ID),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("effective_hits", sa.Double(), nullable=False),
        sa.Column("gain_nats", sa.Double()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["stratum_id"], ["strata.id"], name=op.f("fk_plans_stratum_id")),
        sa.PrimaryKeyConstraint("made_at", "place", name=op.f("pk_plans")),
    )
    op.add_column("results", sa.Column("draws", sa.BigInteger()))
    op.add_column("results", sa.Column("tokens", sa.BigInteger()))
    op.add_column("results", sa.Column("device_seconds", sa.Double()))
    _fill_ledger()


def _fill_ledger() -> None:
    """What was spent on each prompt so far, from its estimates; all harms of a prompt state the same cost."""
    samples = sa.table("samples", *map(sa.column, ("id", "topic", "partition", "offset")))
    estimates = sa.table("estimates", *map(sa.column, ("sample_id", "n", "tokens", "device_seconds")))
    places = ("topic", "partition", "offset")
    results = sa.table("results", *map(sa.column, (*places, "draws", "tokens", "device_seconds")))

    def spent(value: str) -> sa.ScalarSelect[object]:
        return (
            sa.select(sa.func.max(estimates.c[value]))
            .join_from(estimates, samples, estimates.c.sample_id == samples.c.id)
            .where(*(samples.c[name] == results.c[name] for name in places))
            .scalar_subquery()
        )

    op.execute(
        sa.update(results).values(
            draws=spent("n"), tokens=spent("tokens"), device_seconds=spent("device_seconds")
        )
    )
