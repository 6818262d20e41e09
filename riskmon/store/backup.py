"""A copy of the store while the daemon writes to it.

SQLite's own online backup copies the whole file under one read lock, so the copy is the database as of one moment;
in WAL mode no writer waits for it. The copy is one file without side files, mode 0600, checked, and takes its name
only when it is whole: what lies under that name can be restored. The schema is copied as it is, and never migrated.
PostgreSQL has pg_dump.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from riskmon.errors import InputError, StoreUnavailable
from riskmon.store.engine import make_engine, parse_url, public_name
from riskmon.store.migrations import VERSION_TABLE


@dataclass(frozen=True, slots=True)
class Backup:
    """What a copy holds: its size in bytes, and the version of its schema; None before the first migration."""

    size_bytes: int
    schema: str | None


def back_up(url: str, out: Path) -> Backup:
    """Copy the database at `url` into a new file.

    Raises:
        ConfigError: the URL names no database of ours.
        InputError: it is a PostgreSQL, there is no database yet, or `out` exists or cannot be written.
        StoreUnavailable: the database cannot be read, or the copy does not stand its check.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise InputError(
            f"{public_name(parsed)} is a PostgreSQL database, which 'riskmon backup' does not copy; run: "
            f"pg_dump --format=custom --file={out} {parsed.database or ''}".rstrip()
        )
    if not Path(str(parsed.database)).is_file():
        raise InputError(f"there is no database {parsed.database} to copy; check store.url")
    if out.exists():
        raise InputError(f"{out} exists and is not overwritten; name a file that does not")
    part = out.with_name(f"{out.name}.part")
    _create(part)
    try:
        engine = make_engine(parsed)
        try:
            with closing(engine.raw_connection()) as source, closing(sqlite3.connect(part)) as copy:
                source.driver_connection.backup(copy)  # type: ignore[union-attr]
                backup = _finish(copy, part)
        finally:
            engine.dispose()
        os.replace(part, out)
    except (SQLAlchemyError, sqlite3.Error) as exc:
        raise StoreUnavailable(f"the backup of {public_name(parsed)} failed: {_reason(exc)}") from exc
    finally:
        part.unlink(missing_ok=True)
    return backup


def _create(part: Path) -> None:
    """An empty file for its owner only; what an earlier, broken-off backup left is overwritten."""
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as exc:
        raise InputError(f"cannot write the backup {part}: {exc.strerror}") from exc


def _finish(copy: sqlite3.Connection, part: Path) -> Backup:
    """Check the copy, and see to it that it lies on the disk as a single file."""
    # The copied header still asks for a write-ahead log, that is for side files.
    copy.execute("PRAGMA journal_mode = DELETE").close()
    found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreUnavailable(f"the copy is damaged, and so may be the database: {found.splitlines()[0]}")
    tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    row = (
        copy.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
        if VERSION_TABLE in tables
        else None
    )
    with part.open("rb") as file:
        os.fsync(file.fileno())
    return Backup(part.stat().st_size, None if row is None else str(row[0]))


def _reason(exc: SQLAlchemyError | sqlite3.Error) -> str:
    lines = str(getattr(exc, "orig", exc)).splitlines()
    return lines[0] if lines else type(exc).__name__
