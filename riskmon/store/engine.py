"""From a URL to an engine: SQLite or PostgreSQL, tuned so that both behave alike.

Writers take turns on both. On SQLite a write begins with BEGIN IMMEDIATE, on PostgreSQL with an advisory lock held
to the end of the transaction; either way a second writer waits instead of failing, no two can deadlock, and each
sees all that was committed before its turn. Readers never wait: each sees one consistent moment (a WAL snapshot, or
REPEATABLE READ). The mode travels as an execution option and is applied when a transaction begins.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError

from riskmon.errors import ConfigError, StoreUnavailable

# How long a writer waits for its turn before the store counts as unavailable.
WAIT_S = 30
CONNECT_TIMEOUT_S = 10
_PAUSE_S = 0.01

# An arbitrary number that names riskmon's write lock within a PostgreSQL database ("rmon" in ASCII).
_WRITE_LOCK = 0x726D6F6E

_MODE = "riskmon_mode"
_READ, _WRITE = "read", "write"


def parse_url(text_url: str) -> URL:
    """The URL with its driver spelled out.

    Raises:
        ConfigError: it cannot be parsed, names another database, or keeps its data in memory only.
    """
    try:
        url = make_url(text_url)
    except ArgumentError as exc:
        # The text itself may hold a password, so it is not repeated.
        raise ConfigError(
            "store.url is not a database URL; give sqlite:///FILE or postgresql+psycopg://HOST/NAME"
        ) from exc
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() != "sqlite":
        raise ConfigError(
            f"store.url names {url.get_backend_name()!r}; "
            "allowed are sqlite:///FILE and postgresql+psycopg://HOST/NAME"
        )
    if url.database in (None, "", ":memory:") or str(url.database).startswith("file:"):
        raise ConfigError("store.url must name a plain file, as in sqlite:///riskmon.db")
    return url


def public_name(url: URL) -> str:
    """The URL for people: password masked, options (which may hold another one) left out."""
    return url.set(query={}).render_as_string(hide_password=True)


def make_engine(url: URL) -> Engine:
    """An engine for a parsed URL; a SQLite file that does not exist yet is created for its owner only.

    Raises:
        ConfigError: the PostgreSQL driver is not installed.
        StoreUnavailable: the SQLite file cannot be created.
    """
    # Parameters hold prompt text, and an error's message would otherwise repeat them.
    if url.get_backend_name() == "sqlite":
        _create_private(Path(str(url.database)))
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": WAIT_S})
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    defaults = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "riskmon"}
    ours = {key: value for key, value in defaults.items() if key not in url.query}
    try:
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=ours)
    except ImportError as exc:
        raise ConfigError(
            "store.url names PostgreSQL, whose driver is not installed; "
            "run: pip install 'riskmon[postgresql]'"
        ) from exc
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def reader(engine: Engine) -> Engine:
    """The same connections, for transactions that see one consistent moment."""
    if engine.dialect.name == "sqlite":
        return engine.execution_options(**{_MODE: _READ})
    return engine.execution_options(
        **{_MODE: _READ}, isolation_level="REPEATABLE READ", postgresql_readonly=True
    )


def writer(engine: Engine) -> Engine:
    """The same connections, for transactions that wait for their turn to write."""
    return engine.execution_options(**{_MODE: _WRITE})


def _create_private(path: Path) -> None:
    """Makes an empty database file with mode 0600; SQLite gives its -wal and -shm files the same mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        return
    except OSError as exc:
        raise StoreUnavailable(f"cannot create the database file {path}: {exc.strerror}") from exc


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # Without this the driver begins transactions by its own rules, never IMMEDIATE.
    connection.isolation_level = None
    _use_wal(connection)
    for pragma in (
        # In WAL mode a commit survives the death of the process; only a power cut may lose the last ones.
        "synchronous = NORMAL",
        "foreign_keys = ON",
        # Deleted prompts are overwritten with zeros rather than left in free pages.
        "secure_delete = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _use_wal(connection: sqlite3.Connection) -> None:
    """Turns on the write-ahead log, or waits while another process does so.

    It is the one change for which SQLite refuses at once rather than heed its timeout.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as exc:
            busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    mode = connection.get_execution_options().get(_MODE)
    if mode == _WRITE:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif mode == _READ:
        connection.exec_driver_sql("BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get(_MODE) == _WRITE:
        connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_S}s'"))
        connection.execute(select(func.pg_advisory_xact_lock(_WRITE_LOCK)))
