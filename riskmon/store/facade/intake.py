"""What traffic writes to the store and goes on from: counts, samples, offsets, strata, scorer, health of the source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from riskmon.records import IntakeBatch, Stratum, TrafficStatus
from riskmon.records.ranges import Range
from riskmon.records.scorer import ScorerModel
from riskmon.records.strata import StrataLimits, StrataNews, StratumEvent
from riskmon.store import files, intake, offsets, scorers, status, strata, stratum_events
from riskmon.store.database import Database


class IntakeCalls:
    """Calls of the intake, and of the desk that looks after strata; part of `Store`."""

    process: str
    _database: Database

    def write_intake(
        self,
        batch: IntakeBatch,
        *,
        keep: int,
        now: datetime,
        limits: StrataLimits | None = None,
        backfill: bool = False,
    ) -> StrataNews:
        """Adds a batch in one transaction: requests, sample, counters and the offsets they cover.

        A batch that was written already, exactly as it is, changes nothing: it may be tried again after any fault.

        Args:
            batch: what one flush read. Each sampled prompt lies in a cell that the batch counts.
            keep: prompts kept per cell, those of smallest priority.
            now: stamps new strata and moved offsets.
            limits: how many strata are kept apart; not given, all of them. Those beyond are counted in `other`, and
                their samples with them.
            backfill: it counts what the live reader left out, and where that goes on stays.

        Returns:
            The strata that are kept apart from here on, and which of them came.

        Raises:
            BatchRefused: messages of the batch may have been counted already. Drop it and resume from `next_offsets`.
            ValueError: a sampled prompt lies in a cell that the batch does not count.
        """
        return self._database.apply(intake.write, batch, keep=keep, now=now, limits=limits, backfill=backfill)

    def next_offsets(self, topic: str) -> dict[int, int]:
        """Offset from which the live reader resumes, per partition that it ever read."""
        return self._database.fetch(offsets.read, topic)

    def counted(self, topic: str) -> dict[int, list[Range]]:
        """Offsets that were counted, live or by a backfill, per partition: disjoint ranges in order."""
        return self._database.fetch(offsets.read_counted, topic)

    def counted_ahead(self, topic: str) -> dict[int, list[Range]]:
        """Of `counted`, what lies ahead of the live reader, which will come to it; mostly nothing."""
        return self._database.fetch(offsets.read_ahead, topic)

    def file_topic(self, name: str, lines: Sequence[str], now: datetime) -> str:
        """The topic under which a file's lines are counted, known by its content: see `riskmon.store.files`."""
        return self._database.apply(files.topic_of, name, lines, now)

    def strata(self) -> list[Stratum]:
        """Known strata, in the order of first sight."""
        return list(self._database.fetch(strata.known))

    def kept_strata(self) -> list[Stratum]:
        """Strata that have a place among those kept apart, in the order of first sight."""
        return self._database.fetch(strata.kept)

    def retire_strata(self, before: datetime, now: datetime) -> int:
        """Takes the places of strata whose requests all came before a moment; gives how many."""
        return self._database.apply(strata.retire, before, now)

    def note_vanished(self, gone: Sequence[StratumEvent]) -> list[StratumEvent]:
        """Stores which strata have vanished; gives those of them for which that is new and still so."""
        return self._database.apply(stratum_events.note_vanished, gone)

    def thresholds(self, keep: int, since: datetime) -> dict[tuple[datetime, Stratum], float]:
        """Per cell since then, the smallest priority left out; a candidate that is not below it changes nothing."""
        return self._database.fetch(intake.thresholds, keep, since)

    def write_scorer(self, model: ScorerModel) -> None:
        """Stores the scorer that prompts are sampled with, in place of the one before."""
        self._database.apply(scorers.write, model)

    def scorer(self, after: datetime | None = None) -> ScorerModel | None:
        """The scorer, if it was made after a moment; None where there is none."""
        return self._database.fetch(scorers.newest, after)

    def write_traffic_status(self, traffic: TrafficStatus) -> None:
        """Replaces the source's health as this process sees it."""
        self._database.apply(status.write, self.process, traffic)

    def end_traffic_status(self) -> None:
        """Notes that this process reads the source no longer."""
        self._database.apply(status.end, self.process)

    def traffic_status(self, now: datetime) -> TrafficStatus | None:
        """The source's health as all processes that read it see it; None where none ever did."""
        return self._database.fetch(status.read, now)

    def own_traffic_status(self) -> TrafficStatus | None:
        """The source's health as this process last wrote it."""
        return self._database.fetch(status.read_one, self.process)
