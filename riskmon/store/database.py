"""The fence: transactions in, `StoreUnavailable` out.

Every query of the store runs inside `Database.read` or `Database.write`. An exception inside a write undoes the
whole of it. Whatever SQLAlchemy raises leaves as `StoreUnavailable` with its cause; the message holds the driver's
first line, which names tables and hosts but never a value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DataError, DBAPIError, OperationalError, SQLAlchemyError

from riskmon.errors import StoreUnavailable
from riskmon.store.engine import make_engine, public_name, reader, writer
from riskmon.store.keyring import Keyring
from riskmon.store.sealed import use_keys

P = ParamSpec("P")
T = TypeVar("T")

# A SQLite file is rebuilt where at least this share of it, and so many bytes, are free.
REBUILD_SHARE = 0.5
REBUILD_BYTES = 64 * 2**20

log = logging.getLogger(__name__)


class Database:
    """One database and its pool of connections; safe to share between threads.

    Attributes:
        name: its URL for messages, password masked.
        written_at: when a write last went through here; before the first one, when this was made.

    Args:
        clock: the present moment, aware.
    """

    def __init__(self, url: URL, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.name = public_name(url)
        self._engine = make_engine(url)
        self._reader = reader(self._engine)
        self._writer = writer(self._engine)
        self._keyring: Keyring | None = None
        self._clock = clock
        self.written_at = clock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one moment.

        Raises:
            StoreUnavailable: the database cannot be reached or refuses.
        """
        with self._fence(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that has the only turn to write, committed on a clean exit and undone otherwise.

        Raises:
            StoreUnavailable: as `read`, or the turn did not come in time.
        """
        with self._fence(), self._writer.begin() as connection:
            yield connection
        self.written_at = self._clock()

    def fetch(self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What a query gives, in a `read` of its own; the arguments follow the connection."""
        with self.read() as connection:
            return query(connection, *args, **kwargs)

    def apply(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Makes a change in a `write` of its own; the arguments follow the connection."""
        with self.write() as connection:
            return change(connection, *args, **kwargs)

    def use_keys(self, keyring: Keyring) -> None:
        """From now on text is sealed and opened with these keys."""
        self._keyring = keyring
        use_keys(self._engine.dialect, keyring)

    @property
    def keyring(self) -> Keyring:
        """The keys in use; there are some as soon as the database is open."""
        assert self._keyring is not None
        return self._keyring

    def forget_deleted(self, *, rebuild: bool = False) -> None:
        """Clears what deleted rows leave behind in SQLite's files; PostgreSQL's vacuum sees to its own.

        Freed space in the database file is zeros already (`engine`); the write-ahead log is emptied here. The file
        itself is rebuilt, and so becomes smaller, where much of it is free, or where `rebuild` asks for it.

        A reader that outlasts the waiting time postpones either to the next call.
        """
        if self._engine.dialect.name != "sqlite":
            return
        # Outside of any transaction: neither mode is set, so none is begun.
        with self._fence(), self._engine.connect() as connection:
            if rebuild or _mostly_free(connection):
                try:
                    connection.exec_driver_sql("VACUUM")
                except OperationalError as exc:  # busy, or no room for the copy
                    level = logging.WARNING if rebuild else logging.INFO
                    log.log(level, "the database %s was not rebuilt: %s", self.name, _reason(exc))
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Closes every pooled connection."""
        self._engine.dispose()

    @contextmanager
    def _fence(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as exc:
            raise StoreUnavailable(f"the database {self.name} is unavailable: {_reason(exc)}") from exc


def _mostly_free(connection: Connection) -> bool:
    """Whether rebuilding the file pays."""
    free, pages, size = (
        int(connection.exec_driver_sql(f"PRAGMA {fact}").scalar_one())
        for fact in ("freelist_count", "page_count", "page_size")
    )
    return free * size >= REBUILD_BYTES and free >= REBUILD_SHARE * pages


def _reason(exc: SQLAlchemyError) -> str:
    # A DataError quotes the value it dislikes.
    if not isinstance(exc, DBAPIError) or isinstance(exc, DataError):
        return type(exc).__name__
    lines = str(exc.orig).strip().splitlines()
    return lines[0] if lines else type(exc).__name__
