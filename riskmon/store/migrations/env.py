"""Alembic's entry point: runs the versions on the connection, and in the transaction, that it is handed."""

from alembic import context

from riskmon.store.migrations import VERSION_TABLE
from riskmon.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
