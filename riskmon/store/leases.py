"""Leases: work that one process at a time does, held by name until a moment and renewed before it.

A process that dies renews no more, and its lease runs out. So does one of a host whose clock is wrong, sooner or later
than it should; that does no harm to the store, in which every write is safe to repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, select

from riskmon.store.database import Database
from riskmon.store.tables import leases
from riskmon.store.upsert import insert


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a lease, since when, and until when unless it is renewed."""

    holder: str
    since: datetime
    until: datetime


class Leases:
    """The leases of one process.

    Args:
        holder: its name.
    """

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder

    def take(self, name: str, now: datetime, length: timedelta, *, unchanged: Lease | None = None) -> Lease:
        """Takes or renews a lease where it is free, run out or this process's own; gives the one then in force.

        Args:
            length: how long it lasts without being renewed.
            unchanged: as it was seen for longer than that; it is taken if it still is so, whatever the clocks say.

        Raises:
            StoreUnavailable: the database cannot be reached or refuses.
        """
        return self._database.apply(take, name, self._holder, now, length, unchanged=unchanged)

    def release(self, name: str) -> None:
        """Gives a lease back; nothing where another process holds it.

        Raises:
            StoreUnavailable: as `take`.
        """
        self._database.apply(release, name, self._holder)

    def read(self, name: str) -> Lease | None:
        """A lease as it was last taken; None where it was given back, or never taken.

        Raises:
            StoreUnavailable: as `take`.
        """
        return self._database.fetch(read, name)


def take(
    connection: Connection,
    name: str,
    holder: str,
    now: datetime,
    length: timedelta,
    *,
    unchanged: Lease | None = None,
) -> Lease:
    """What `Leases.take` does, for a holder."""
    found = read(connection, name)
    own = found is not None and found.holder == holder
    if found is not None and not own and found.until > now and found != unchanged:
        return found
    taken = Lease(holder, found.since if found is not None and own else now, now + length)
    values = {"holder": taken.holder, "since": taken.since, "until": taken.until}
    connection.execute(
        insert(connection, leases)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[leases.c.name], set_=values)
    )
    return taken


def release(connection: Connection, name: str, holder: str) -> None:
    """What `Leases.release` does, for a holder."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def read(connection: Connection, name: str) -> Lease | None:
    """The lease as it was last taken; None where it was given back, or never taken."""
    row = connection.execute(select(leases).where(leases.c.name == name)).one_or_none()
    return None if row is None else Lease(row.holder, row.since, row.until)
