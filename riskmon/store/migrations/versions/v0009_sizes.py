"""Prompts sampled by risk: how large each was, what a cell leaves out, and the scorer.

A full cell of earlier has forgotten what it left out; its largest priority stands in, which is a little too small. That
matters only in a window that is open during the upgrade, and then only where prompts are sampled by risk from that
moment on. Counts of judged responses become effective numbers, which need not be whole.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("size", "stands_for"):
        op.add_column("samples", sa.Column(name, sa.Double(), nullable=False, server_default="1"))
    op.add_column("cells", sa.Column("left_out", sa.Double()))
    op.add_column("cells", sa.Column("scored", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.execute(
        "UPDATE cells SET left_out = (SELECT max(priority) FROM samples WHERE cell_id = cells.id) "
        "WHERE keep <= (SELECT count(*) FROM samples WHERE cell_id = cells.id)"
    )
    for name in ("judged", "harmful"):
        op.add_column("judged", sa.Column(f"new_{name}", sa.Double(), nullable=False, server_default="0"))
        op.execute(f"UPDATE judged SET new_{name} = {name}")
        op.drop_column("judged", name)
        op.alter_column("judged", f"new_{name}", new_column_name=name)
        if op.get_bind().dialect.name == "postgresql":
            op.alter_column("judged", name, server_default=None)
    op.create_table(
        "scorers",
        sa.Column("id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("coefficients", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scorers")),
    )
