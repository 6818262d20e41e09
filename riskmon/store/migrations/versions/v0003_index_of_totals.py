"""An index of the totals over strata: the trend reads them from among the forecasts of all strata."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    totals = sa.text("stratum_id IS NULL")
    op.create_index(
        "ix_forecasts_totals", "forecasts", ["made_at"], sqlite_where=totals, postgresql_where=totals
    )
