"""A new key for the store: it seals from now on, and what older keys sealed is sealed anew.

The new key goes before the others into the key file, so that whatever happens next everything can still be opened; then
every row is sealed anew, a few at a time. Old keys stay in the file, since backups made before need them, unless the
caller drops them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Table, bindparam, select, update

from riskmon.config import StoreConfig
from riskmon.errors import StoreLocked
from riskmon.store import custody
from riskmon.store.database import Database
from riskmon.store.engine import parse_url
from riskmon.store.key_file import read_keys, replace_keys
from riskmon.store.keyring import key_id, new_key
from riskmon.store.opening import open_database
from riskmon.store.tables import hits, samples, scorers

_ROWS_AT_ONCE = 500
# Sealed columns of each table; the first tells which key sealed the row.
_SEALED = {samples: ("body", "response"), hits: ("tokens", "log_probs"), scorers: ("coefficients",)}


@dataclass(frozen=True, slots=True)
class Rotation:
    """What was done.

    Attributes:
        key: id of the key that seals now. path: the key file; None where the configuration holds the keys.
        rows: sealed anew. old: ids of keys that are still given, and that no row needs any more.
    """

    key: str
    path: Path | None
    rows: int
    old: tuple[str, ...]


def rotate(settings: StoreConfig, *, drop_old: bool = False) -> Rotation:
    """Makes a new key and seals all text with it. Not for a store that another process has open.

    Where the configuration holds the keys themselves no key is made: all text is sealed with the first of them.

    Args:
        drop_old: also take the old keys out of the file.

    Raises:
        UserError: the keys cannot be used, or the key file cannot be written.
        StoreUnavailable: the database cannot be reached; what was sealed anew stays so.
    """
    path = custody.key_path(settings, parse_url(settings.url))
    open_database(
        settings
    ).close()  # before anything changes: can all text be opened, and is there a key file?
    if path is not None:
        replace_keys(path, [new_key(), *(read_keys(path) or ())])
    database = open_database(settings)
    try:
        first, *old = database.keyring.ids
        rows = sum(_reseal(database, table, columns, first) for table, columns in _SEALED.items())
        with database.write() as connection:
            custody.forget_unused(connection)
            needed = custody.known(connection)
        database.forget_deleted()
    finally:
        database.close()
    if needed != [first]:
        raise StoreLocked(
            f"while text was sealed with key {first}, another process went on to seal with {needed[0]}; stop all "
            "that have the store open, and run the command again"
        )
    if path is not None and drop_old:
        replace_keys(path, [key for key in read_keys(path) or () if key_id(key) == first])
        old = []
    return Rotation(first, path, rows, tuple(old))


def _reseal(database: Database, table: Table, columns: tuple[str, ...], first: str) -> int:
    """Seals the rows of a table that another key sealed; gives how many."""
    sealed_otherwise = custody.key_of(table.c[columns[0]]) != bytes.fromhex(first)
    query = select(table.c.id, *(table.c[name] for name in columns)).where(sealed_otherwise)
    change = update(table).where(table.c.id == bindparam("row"))
    change = change.values({name: bindparam(f"new_{name}") for name in columns})
    done = 0
    while True:
        with database.write() as connection:
            rows = connection.execute(query.limit(_ROWS_AT_ONCE)).all()
            if not rows:
                return done
            connection.execute(
                change,
                [{"row": row.id, **{f"new_{name}": getattr(row, name) for name in columns}} for row in rows],
            )
            done += len(rows)
