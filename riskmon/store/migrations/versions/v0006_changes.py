"""Why a forecast changed, kept beside it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "changes",
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("harm", sa.Text(), nullable=False),
        sa.Column("versions", sa.JSON(none_as_null=True)),
        sa.Column("effects", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("made_at", "place", name=op.f("pk_changes")),
    )
