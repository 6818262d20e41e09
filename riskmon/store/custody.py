"""Which keys a database is opened with: found or made at start, and checked against what its text was sealed with.

The table `store_keys` names the keys by id. A key is entered before it seals anything, and taken out once no row needs
it any more: then it may be dropped from the file. So a key that is missing is noticed at start, with its id, and not
hours later at the first prompt that is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    LargeBinary,
    delete,
    func,
    insert,
    inspect,
    select,
    type_coerce,
)

from riskmon.config import StoreConfig
from riskmon.errors import ConfigError, StoreLocked
from riskmon.store.database import Database
from riskmon.store.key_file import make_key_file, read_keys
from riskmon.store.keyring import Keyring, new_key, parse_keys
from riskmon.store.sealed import keys_of
from riskmon.store.tables import hits, samples, scorers, store_keys


def key_path(settings: StoreConfig, url: URL) -> Path | None:
    """The file of keys; None where the configuration holds the keys themselves.

    Raises:
        ConfigError: nothing says where the keys of a database on a server are.
    """
    if settings.key is not None:
        return None
    if settings.key_file is not None:
        return settings.key_file
    if url.get_backend_name() == "sqlite":
        return Path(f"{url.database}.key")
    raise ConfigError(
        "a store in PostgreSQL needs store.key_file, a file that riskmon makes where there is none, or keys in "
        "RISKMON_STORE__KEY; every machine that opens the database needs the same keys"
    )


def unlock(database: Database, settings: StoreConfig, url: URL) -> Keyring:
    """Gives the database its keys; a key file that is not there is made, unless text was sealed before.

    Raises:
        ConfigError: as `key_path`.
        StoreLocked: the keys are missing, open to others, or malformed.
    """
    path = key_path(settings, url)
    if path is None:
        assert settings.key is not None
        keyring = Keyring(parse_keys(settings.key.get_secret_value(), "store.key"), "store.key")
    else:
        keyring = Keyring(read_keys(path) or _first_keys(database, path), f"the key file {path}")
    database.use_keys(keyring)
    return keyring


def check(database: Database, keyring: Keyring, now: datetime) -> None:
    """Makes sure that all text can be opened, and enters the key that seals from now on.

    Raises:
        StoreLocked: text was sealed with a key that is not given.
    """
    if keyring.ids[0] in _checked(database.fetch(known), database, keyring):
        return
    with database.write() as connection:
        if keyring.ids[0] not in _checked(known(connection), database, keyring):
            connection.execute(insert(store_keys).values(id=keyring.ids[0], first_used=now))


def known(connection: Connection) -> list[str]:
    """Ids of the keys that text may be sealed with, the oldest first; none before the schema that has them."""
    if not inspect(connection).has_table(store_keys.name):
        return []
    return list(connection.scalars(select(store_keys.c.id).order_by(store_keys.c.first_used)))


def forget_unused(connection: Connection) -> None:
    """Takes out the keys that seal no row any more, other than the one that seals new rows."""
    keep = keys_of(connection.dialect).ids[0]
    for name in known(connection):
        if name != keep and not any(_sealed_with(connection, column, name) for column in _MARKED):
            connection.execute(delete(store_keys).where(store_keys.c.id == name))


def key_of(column: ColumnElement[object]) -> ColumnElement[bytes]:
    """The id of the key in a sealed value, as bytes; it lies behind the version."""
    return func.substr(type_coerce(column, LargeBinary), 2, 8, type_=LargeBinary)


# One column of each table tells for the row: its values are sealed together.
_MARKED: tuple[ColumnElement[object], ...] = (samples.c.body, hits.c.tokens, scorers.c.coefficients)


def _sealed_with(connection: Connection, column: ColumnElement[object], name: str) -> bool:
    query = select(column.table.c.id).where(key_of(column) == bytes.fromhex(name)).limit(1)
    return connection.scalar(query) is not None


def _first_keys(database: Database, path: Path) -> list[bytes]:
    # In a turn to write, so that of several processes on an empty database one makes the file.
    with database.write() as connection:
        if ids := known(connection):
            raise StoreLocked(
                f"the database {database.name} holds text sealed with key {', '.join(ids)}, and there is no key "
                f"file {path}; put the file back or name it in store.key_file. Without the key the text is lost: "
                "then begin with an empty database"
            )
        return read_keys(path) or make_key_file(path, new_key())


def _checked(ids: Iterable[str], database: Database, keyring: Keyring) -> list[str]:
    found = list(ids)
    if missing := keyring.missing(found):
        raise StoreLocked(
            f"the database {database.name} holds text sealed with key {', '.join(missing)}, and {keyring.origin} "
            f"has {', '.join(keyring.ids)}; put the missing key back behind the others, or begin with an empty "
            "database"
        )
    return found
