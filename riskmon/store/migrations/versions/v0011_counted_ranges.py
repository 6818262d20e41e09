"""Which offsets were counted, so that a backfill and the live reader count none twice; and which files were ingested.

Earlier versions kept only where reading goes on. Where they began is not known, so all before counts as counted: what a
backfill then leaves out can be had by another store, what it counted twice could not be taken back.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

OFFSETS = sa.table("offsets", *(sa.column(name) for name in ("topic", "partition", "next_offset")))


def upgrade() -> None:
    counted = op.create_table(
        "counted",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("begin", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition", "begin", name=op.f("pk_counted")),
    )
    before = sa.select(OFFSETS.c.topic, OFFSETS.c.partition, sa.literal(0), OFFSETS.c.next_offset)
    op.execute(sa.insert(counted).from_select(list(counted.c), before.where(OFFSETS.c.next_offset > 0)))
    op.create_table(
        "ingested_files",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("first_line", sa.Text(), nullable=False),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("topic", name=op.f("pk_ingested_files")),
    )
    op.create_index(op.f("ix_ingested_files_first_line"), "ingested_files", ["first_line"])
