"""From a URL to an open store of the current schema."""

from __future__ import annotations

import threading

from riskmon.store.database import Database
from riskmon.store.engine import parse_url
from riskmon.store.facade import Store
from riskmon.store.migrate import migrate

# Threads of one process open one after another; processes are kept apart by the database itself.
_OPENING = threading.Lock()


def open_store(url: str) -> Store:
    """Connects, and brings the schema up to date.

    Args:
        url: `sqlite:///FILE`, or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`. A SQLite file that does not exist
            yet is created with mode 0600, since it holds prompts.

    Raises:
        ConfigError: the URL is not one of these, or the PostgreSQL driver is not installed.
        StoreUnavailable: the database cannot be reached, or its schema is newer than this riskmon.
    """
    with _OPENING:
        database = Database(parse_url(url))
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
    return Store(database)
