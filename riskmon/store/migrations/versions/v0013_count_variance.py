"""How far a cell's count may be off, where requests are counted from ranges of a topic."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("cells", sa.Column("variance", sa.Double(), nullable=False, server_default="0"))
