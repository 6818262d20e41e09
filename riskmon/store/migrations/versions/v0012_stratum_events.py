"""Strata that come and go, and verdicts on production responses that are part of the coverage audit.

Verdicts of earlier versions were not audited: null says so.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("strata", sa.Column("silent_since", INSTANT))
    op.add_column("strata", sa.Column("retired_at", INSTANT))
    op.create_table(
        "stratum_events",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("stratum_id", ROW_ID, nullable=False),
        sa.Column("since", INSTANT),
        sa.Column("share", sa.Double()),
        sa.ForeignKeyConstraint(["stratum_id"], ["strata.id"], name=op.f("fk_stratum_events_stratum_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stratum_events")),
    )
    op.create_index(op.f("ix_stratum_events_at"), "stratum_events", ["at"])
    op.add_column("verdicts", sa.Column("uncovered", sa.Boolean()))
