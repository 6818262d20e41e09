"""The store as the rest of riskmon sees it: records in, records out, one transaction per call.

A `Store` may be shared by threads, and a database by processes: writers take turns, readers see one moment and never
wait. Every method raises `StoreUnavailable` when the database cannot be reached or refuses, and then has changed
nothing, unless the connection was lost during the commit itself. Each write is safe to repeat (for intake see
`riskmon.store.offsets`); only `count_job_failure` may then count twice.
"""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Self

from riskmon.records import Counters, Snapshot
from riskmon.store import counts, snapshot
from riskmon.store.counts import Count
from riskmon.store.database import Database
from riskmon.store.facade.estimates import EstimateCalls
from riskmon.store.facade.findings import FindingCalls
from riskmon.store.facade.intake import IntakeCalls
from riskmon.store.history import History
from riskmon.store.leases import Leases
from riskmon.store.purge import purge


class Store(IntakeCalls, EstimateCalls, FindingCalls):
    """The open store; made by `open_store`, closed by `close` or at the end of a `with` block.

    Attributes:
        history: what a report or a back-test looks back on.
        process: names this process where several meet in the store: host and number.
    """

    def __init__(self, database: Database) -> None:
        self.history = History(database)
        self.process = f"{socket.gethostname()}-{os.getpid()}"
        self._database = database

    def __repr__(self) -> str:
        return f"Store({self._database.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def sealed_by(self) -> str:
        """The id of the key that seals text, and where it comes from, for people."""
        return f"key {self._database.keyring.ids[0]} of {self._database.keyring.origin}"

    @property
    def written_at(self) -> datetime:
        """When a write of this process last went through; before the first one, when the store was opened."""
        return self._database.written_at

    @property
    def leases(self) -> Leases:
        """Work that one process at a time does, as this process holds it."""
        return Leases(self._database, self.process)

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    # ---- upkeep and publish

    def count_job_failure(self, job: str) -> None:
        """Adds one to the failures of a job."""
        self._database.apply(counts.add, {(Count.JOB_FAILED, job): 1})

    def count_worker_loss(self, reason: str) -> None:
        """Adds one to the device workers that were lost for a reason."""
        with self._database.write() as connection:
            counts.add(connection, {(Count.WORKER_LOST, reason): 1})

    def count_device_seconds(self, seconds: float) -> None:
        """Adds device time that no result states."""
        self._database.apply(counts.add, {(Count.DEVICE_SECONDS, ""): seconds})

    def count_paused_seconds(self, seconds: float) -> None:
        """Adds time that devices have rested for others."""
        self._database.apply(counts.add, {(Count.PAUSED_SECONDS, ""): seconds})

    def counters(self) -> Counters:
        """Totals since the store was made."""
        return self._database.fetch(counts.read)

    def snapshot(self, now: datetime) -> Snapshot:
        """Everything that publish shows, as of one moment."""
        return replace(self._database.fetch(snapshot.read, now), written_at=self._database.written_at)

    def purge(self, before: datetime, counts_before: datetime | None = None) -> int:
        """Forgets prompts, estimates, hits, forecasts of strata, plans, cycles and runs older than a moment.

        Counts of requests and of judged responses, forecasts of totals and the first of a day go by `counts_before`
        where it is given, no later than `before`. Counters, offsets, strata, the newest forecast, plans, cycles and
        complete sensitivity run stay. On SQLite the text is overwritten in the file and its log, and a
        file that is mostly free is made smaller; on PostgreSQL vacuum reclaims it.

        Returns:
            How many prompts were forgotten with their text.
        """
        forgotten = self._database.apply(purge, before, counts_before or before)
        self._database.forget_deleted()
        return forgotten
