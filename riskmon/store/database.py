"""The fence: transactions in, `StoreUnavailable` out.

Every query of the store runs inside `Database.read` or `Database.write`. An exception inside a write undoes the
whole of it. Whatever SQLAlchemy raises leaves as `StoreUnavailable` with its cause; the message holds the driver's
first line, which names tables and hosts but never a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from riskmon.errors import StoreUnavailable
from riskmon.store.engine import make_engine, public_name, reader, writer

P = ParamSpec("P")
T = TypeVar("T")


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

    def forget_deleted(self) -> None:
        """Clears what deleted rows leave behind in SQLite's write-ahead log; PostgreSQL's vacuum sees to its own.

        A reader that outlasts the waiting time postpones it to the next call.
        """
        if self._engine.dialect.name == "sqlite":
            # Outside of any transaction: neither mode is set, so none is begun.
            with self._fence(), self._engine.connect() as connection:
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


def _reason(exc: SQLAlchemyError) -> str:
    # A DataError quotes the value it dislikes.
    if not isinstance(exc, DBAPIError) or isinstance(exc, DataError):
        return type(exc).__name__
    lines = str(exc.orig).strip().splitlines()
    return lines[0] if lines else type(exc).__name__
