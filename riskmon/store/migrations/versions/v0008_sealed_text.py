"""Text is sealed: prompts, responses, and the tokens of hits with their log-probs; and which keys did so.

Rows of earlier versions are sealed here, in the transaction of the migration. A response that was judged already is
not kept. A rebuilt table would take its dependants with it, so columns are exchanged one by one.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from riskmon.store.sealed import SealedBytes, SealedJson

revision = "0008"
down_revision = "0007"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ROWS_AT_ONCE = 500

SAMPLES_BEFORE = sa.table(
    "samples",
    sa.column("id", ROW_ID),
    sa.column("topic", sa.Text()),
    sa.column("partition", sa.Integer()),
    sa.column("offset", sa.BigInteger()),
    sa.column("body", sa.JSON()),
)
SAMPLES = sa.table(
    "samples",
    sa.column("id", ROW_ID),
    sa.column("sealed_body", SealedJson("samples.body")),
    sa.column("response", SealedJson("samples.response")),
)
HITS_BEFORE = sa.table(
    "hits",
    sa.column("id", ROW_ID),
    sa.column("tokens", sa.JSON()),
    sa.column("log_probs", sa.LargeBinary()),
)
HITS = sa.table(
    "hits",
    sa.column("id", ROW_ID),
    sa.column("sealed_tokens", SealedJson("hits.tokens")),
    sa.column("sealed_log_probs", SealedBytes("hits.log_probs")),
)
RESULTS = sa.table(
    "results",
    sa.column("topic", sa.Text()),
    sa.column("partition", sa.Integer()),
    sa.column("offset", sa.BigInteger()),
)


def upgrade() -> None:
    op.create_table(
        "store_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("first_used", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_keys")),
    )
    op.add_column("samples", sa.Column("response", sa.LargeBinary()))
    exchange("samples", ("body",), lambda: seal_rows(SAMPLES_BEFORE, SAMPLES, sealed_sample))
    exchange("hits", ("tokens", "log_probs"), lambda: seal_rows(HITS_BEFORE, HITS, sealed_hit))


def exchange(table: str, columns: tuple[str, ...], fill: Callable[[], None]) -> None:
    """Replaces columns by sealed ones of the same names, filled from them."""
    for name in columns:
        # SQLite adds no column that must be filled unless it has a default.
        op.add_column(table, sa.Column(f"sealed_{name}", sa.LargeBinary(), nullable=False, server_default=""))
    fill()
    for name in columns:
        op.drop_column(table, name)
        op.alter_column(table, f"sealed_{name}", new_column_name=name)
        if op.get_bind().dialect.name == "postgresql":
            op.alter_column(table, name, server_default=None)


def seal_rows(
    before: sa.TableClause, after: sa.TableClause, sealed: Callable[[sa.Row[Any]], Mapping[str, Any]]
) -> None:
    connection, last = op.get_bind(), 0
    judged = sa.exists().where(
        *(RESULTS.c[key] == SAMPLES_BEFORE.c[key] for key in ("topic", "partition", "offset"))
    )
    extra = [judged.label("judged")] if before is SAMPLES_BEFORE else []
    query = sa.select(before, *extra).order_by(before.c.id).limit(ROWS_AT_ONCE)
    while rows := connection.execute(query.where(before.c.id > last)).all():
        changes = [{"row": row.id, **sealed(row)} for row in rows]
        new = [column for column in after.c if column.name != "id"]
        values = {column.name: sa.bindparam(f"new_{column.name}", type_=column.type) for column in new}
        connection.execute(
            sa.update(after).where(after.c.id == sa.bindparam("row")).values(values),
            changes,
        )
        last = rows[-1].id


def sealed_sample(row: sa.Row[Any]) -> Mapping[str, Any]:
    response = None if row.judged else row.body["response"]
    return {"new_sealed_body": row.body["content"], "new_response": response}


def sealed_hit(row: sa.Row[Any]) -> Mapping[str, Any]:
    return {"new_sealed_tokens": row.tokens, "new_sealed_log_probs": row.log_probs}
