"""Brings a database to the schema of this riskmon, whatever older one it has.

The migrations lie inside the package and run in one write transaction, so several processes may open an empty
database at once: the first migrates, the others find it done. A database written by a newer riskmon is refused
rather than guessed at.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from riskmon.errors import StoreUnavailable
from riskmon.store.database import Database
from riskmon.store.migrations import VERSION_TABLE

_SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> str | None:
    """Upgrades to the newest schema this package knows; does nothing where it is there already.

    Not for two threads at once: Alembic keeps its state in globals of the process.

    Returns:
        The older schema that was upgraded; None where there was none, or nothing to do.

    Raises:
        StoreUnavailable: the database cannot be reached, or its schema is newer than this riskmon.
    """
    scripts = ScriptDirectory(str(_SCRIPTS))
    with database.read() as connection:
        if _version(connection) == scripts.get_current_head():
            return None
    with database.write() as connection:
        found = _version(connection)
        known = {script.revision for script in scripts.walk_revisions()}
        if found is not None and found not in known:
            raise StoreUnavailable(
                f"the database {database.name} has schema {found!r}, newer than {scripts.get_current_head()!r}, "
                "the newest this riskmon knows; upgrade riskmon, restore the backup made before the upgrade, or give "
                "store.url another database"
            )
        config = Config()
        config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    return found


def _version(connection: Connection) -> str | None:
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()
