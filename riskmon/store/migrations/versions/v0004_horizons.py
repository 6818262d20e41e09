"""Forecasts of several horizons, with further intervals and where their spread comes from."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE forecasts RENAME COLUMN daily_requests TO requests")
    op.add_column("forecasts", sa.Column("horizon", sa.Text(), nullable=False, server_default="24h"))
    for name in (
        "lower_50",
        "upper_50",
        "lower_99",
        "upper_99",
        "over_budget_probability",
        "requests_stderr",
        "harm_probability_stderr",
        "unseen_share",
        "retry_probability",
        "retry_lower",
        "retry_upper",
    ):
        op.add_column("forecasts", sa.Column(name, sa.Double()))
    op.add_column("forecasts", sa.Column("retries", sa.Integer()))
    op.add_column("forecasts", sa.Column("variance", sa.JSON(none_as_null=True)))
