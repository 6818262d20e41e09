"""From the settings to an open store of the current schema, with the keys of its text."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

from riskmon.config import StoreConfig
from riskmon.store import custody
from riskmon.store.database import Database
from riskmon.store.engine import parse_url
from riskmon.store.facade import Store
from riskmon.store.migrate import migrate

# Threads of one process open one after another; processes are kept apart by the database itself.
_OPENING = threading.Lock()

# The schema from which on text is sealed; versions sort as text.
_SEALED_SINCE = "0008"

log = logging.getLogger(__name__)


def open_store(where: StoreConfig | str) -> Store:
    """Connects, finds or makes the key of the text, and brings the schema up to date.

    Args:
        where: the settings, or a URL that leaves all others at their defaults: `sqlite:///FILE`, or
            `postgresql+psycopg://USER:PASSWORD@HOST/NAME`. A SQLite file that does not exist yet is created with mode
            0600, and so is the key file.

    Raises:
        ConfigError: the URL is not one of these, the PostgreSQL driver is not installed, or nothing says where the
            keys are.
        StoreLocked: the keys are missing, open to others or malformed, or are not those of the text.
        StoreUnavailable: the database cannot be reached, or its schema is newer than this riskmon.
    """
    return Store(open_database(StoreConfig(url=where) if isinstance(where, str) else where))


def open_database(settings: StoreConfig) -> Database:
    """What `open_store` does, without the store around it.

    Raises:
        ConfigError, StoreLocked, StoreUnavailable: as `open_store`.
    """
    url = parse_url(settings.url)
    with _OPENING:
        database = Database(url)
        try:
            keyring = custody.unlock(database, settings, url)
            before = migrate(database)
            if before is not None and before < _SEALED_SINCE:
                # Text was kept as it was: what that leaves behind in free pages goes as well.
                database.forget_deleted(rebuild=True)
                if url.get_backend_name() == "postgresql":
                    log.warning(
                        "the text in %s is sealed now; run VACUUM FULL samples, hits to remove what earlier versions "
                        "stored as it was",
                        database.name,
                    )
            custody.check(database, keyring, datetime.now(UTC))
        except BaseException:
            database.close()
            raise
    return database
