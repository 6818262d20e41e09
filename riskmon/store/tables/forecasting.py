"""Forecasts, why they changed, and what came of them."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Double, Index, Integer, PrimaryKeyConstraint, Table, Text

from riskmon.store.tables.columns import ROW_ID, harm, metadata, stratum
from riskmon.store.utc import UtcDateTime

forecasts = Table(
    "forecasts",
    metadata,
    Column("id", ROW_ID, primary_key=True),
    Column("made_at", UtcDateTime, nullable=False, index=True),
    harm(),
    # Null is the total over strata.
    stratum(nullable=True),
    Column("expected", Double, nullable=False),
    Column("lower", Double, nullable=False),
    Column("upper", Double, nullable=False),
    Column("any_probability", Double, nullable=False),
    Column("requests", Double, nullable=False),
    Column("harm_probability", Double, nullable=False),
    Column("harm_probability_upper", Double, nullable=False),
    Column("worst_query_probability", Double),
    Column("prompts", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("basis", Text, nullable=False),
    Column("horizon", Text, nullable=False),
    Column("lower_50", Double),
    Column("upper_50", Double),
    Column("lower_99", Double),
    Column("upper_99", Double),
    Column("over_budget_probability", Double),
    Column("requests_stderr", Double),
    Column("harm_probability_stderr", Double),
    # Shares by name.
    Column("variance", JSON(none_as_null=True)),
    Column("unseen_share", Double),
    Column("retries", Integer),
    Column("retry_probability", Double),
    Column("retry_lower", Double),
    Column("retry_upper", Double),
)
_IS_TOTAL = forecasts.c.stratum_id.is_(None)
Index("ix_forecasts_totals", forecasts.c.made_at, sqlite_where=_IS_TOTAL, postgresql_where=_IS_TOTAL)

changes = Table(
    "changes",
    metadata,
    # The moment of the forecasts that are compared.
    Column("made_at", UtcDateTime, nullable=False),
    Column("place", Integer, nullable=False),
    harm(),
    # Label and both values, in JSON as the text of prompts is; null is the change since a day before.
    Column("versions", JSON(none_as_null=True)),
    # Part -> mean and limits.
    Column("effects", JSON, nullable=False),
    PrimaryKeyConstraint("made_at", "place"),
)

# The newest back-test alone: writing replaces all rows.
backtests = Table(
    "backtests",
    metadata,
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("made_at", UtcDateTime, nullable=False),
    harm(),
    # Null is the total over strata.
    stratum(nullable=True),
    Column("body", JSON, nullable=False),
)
