"""Verdicts on production responses, the back-test made from them, and how many estimates carry each flag."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "verdicts",
        sa.Column("sample_id", ROW_ID, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("harmful", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["samples.id"], name=op.f("fk_verdicts_sample_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sample_id", "harm", name=op.f("pk_verdicts")),
    )
    op.create_table(
        "judged",
        sa.Column("cell_id", ROW_ID, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False),
        sa.Column("harmful", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["cell_id"], ["cells.id"], name=op.f("fk_judged_cell_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("cell_id", "harm", name=op.f("pk_judged")),
    )
    op.create_table(
        "backtests",
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("made_at", INSTANT, nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("stratum_id", ROW_ID),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["stratum_id"], ["strata.id"], name=op.f("fk_backtests_stratum_id")),
        sa.PrimaryKeyConstraint("place", name=op.f("pk_backtests")),
    )
    op.add_column("cycle_health", sa.Column("flagged", sa.JSON(none_as_null=True)))
