"""The metadata that all tables belong to, and the columns that several of them share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Double, ForeignKey, Integer, MetaData, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared exactly INTEGER, which there holds 64 bits.
ROW_ID = BigInteger().with_variant(Integer(), "sqlite")


def part_of(name: str, owner: str, *, index: bool = False) -> Column[int]:
    """A reference to the row of `owner` that this row belongs to, and disappears with."""
    return Column(name, ROW_ID, ForeignKey(f"{owner}.id", ondelete="CASCADE"), nullable=False, index=index)


def stratum(*, nullable: bool = False) -> Column[int]:
    """A reference to the stratum that this row is about."""
    return Column("stratum_id", ROW_ID, ForeignKey("strata.id"), nullable=nullable)


def harm() -> Column[str]:
    """The name of the harm that this row is about."""
    return Column("harm", Text, nullable=False)


def position() -> tuple[Column[str], Column[int], Column[int]]:
    """Where a message stands in the source: topic, partition, offset."""
    return (
        Column("topic", Text, nullable=False),
        Column("partition", Integer, nullable=False),
        Column("offset", BigInteger, nullable=False),
    )


def cost(*, nullable: bool = False) -> tuple[Column[int], Column[float]]:
    """What was spent: tokens, device seconds."""
    return (
        Column("tokens", BigInteger, nullable=nullable),
        Column("device_seconds", Double, nullable=nullable),
    )
