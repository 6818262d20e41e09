"""The store as the rest of riskmon sees it: records in, records out, one transaction per call.

A `Store` may be shared by threads, and a database by processes: writers take turns, readers see one moment and never
wait. Every method raises `StoreUnavailable` when the database cannot be reached or refuses, and then has changed
nothing, unless the connection was lost during the commit itself; each write is safe to repeat or, for intake,
refuses to be repeated (see `riskmon.store.offsets`). Only `count_job_failure` may then count twice.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Self

from riskmon.records import (
    Backtest,
    Counters,
    CycleSummary,
    Forecast,
    Hit,
    IntakeBatch,
    Plan,
    Prompt,
    PromptResult,
    SampledPrompt,
    Snapshot,
    Stratum,
    TrafficStatus,
    VolumeWindow,
    WeightedEstimate,
)
from riskmon.records.change import Change, VersionChange
from riskmon.records.coverage import CoverageCount
from riskmon.records.observed import Observation
from riskmon.records.ranges import Range
from riskmon.records.scorer import ScorerModel
from riskmon.records.sensitivity import SampleKey, SensitivitySummary
from riskmon.records.strata import StrataLimits, StrataNews, StratumEvent
from riskmon.store import (
    backtests,
    changes,
    counts,
    coverage,
    cycles,
    files,
    forecasts,
    hits,
    intake,
    observed,
    offsets,
    pending,
    plans,
    prompts,
    results,
    scorers,
    sensitivity,
    snapshot,
    status,
    strata,
    stratum_events,
    volume,
    weighted,
)
from riskmon.store.counts import Count
from riskmon.store.database import Database
from riskmon.store.history import History
from riskmon.store.leases import Leases
from riskmon.store.purge import purge


class Store:
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

    # ---- intake

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

    # ---- estimate

    def pending_prompts(self, since: datetime, limit: int | None = None) -> list[SampledPrompt]:
        """Sampled prompts without a result, so ordered that any prefix is a fair sample of every cell.

        Args:
            since: windows that start then or later count.
            limit: at most so many.
        """
        return self._database.fetch(pending.read, since, limit)

    def sampled_prompts(self, since: datetime, limit: int | None = None) -> list[SampledPrompt]:
        """Sampled prompts, with a result or without, in the order of `pending_prompts`."""
        return self._database.fetch(pending.sampled, since, limit)

    def begin_cycle(self, now: datetime) -> int:
        """Opens an estimate cycle and gives its number."""
        return self._database.apply(cycles.begin, now)

    def write_result(self, cycle_id: int, result: PromptResult, now: datetime) -> None:
        """Records estimates and hits or failure, and cost of one prompt; once per position.

        Raises:
            StoreUnavailable: as every method, and where there is no such cycle.
            ValueError: the prompt has no position, or a hit is malformed.
        """
        self._database.apply(results.write, cycle_id, result, now)

    def unjudged_responses(self, since: datetime, limit: int | None = None) -> list[SampledPrompt]:
        """Sampled prompts whose production response waits for a judge, so ordered that any prefix is a fair sample.

        Args:
            since, limit: as in `pending_prompts`.
        """
        return self._database.fetch(pending.unjudged, since, limit)

    def write_observation(self, seen: Observation, now: datetime) -> None:
        """Records the verdicts on a production response, and forgets its text; once per response.

        Raises:
            ValueError: the prompt has no position, or a hit is malformed.
        """
        self._database.apply(observed.write, seen, now)

    def refine_result(self, cycle_id: int, result: PromptResult, now: datetime) -> None:
        """Replaces the estimates of a position by those from more draws, adds hits and the cost that came on top.

        Draws and cost of `result` include those of the first one. Without more draws than before nothing changes.

        Raises:
            StoreUnavailable: as every method, and where there is no such cycle.
            ValueError: as `write_result`, or the cost is less than what is counted already.
        """
        self._database.apply(results.refine, cycle_id, result, now)

    def hits(self, since: datetime, limit_per_stratum: int) -> list[Hit]:
        """Kept hits of windows that start at `since` or later; per stratum and harm at most so many, newest first.

        Where the limit bites, uncovered hits are given before covered ones.
        """
        return self._database.fetch(hits.read, since, limit_per_stratum)

    def hit_counts(self, since: datetime) -> dict[str, int]:
        """Kept hits per harm of windows that start at `since` or later; a harm without any is absent."""
        return self._database.fetch(hits.count, since)

    def trim_hits(self, keep: int) -> int:
        """Keeps the newest `keep` hits per stratum and harm, uncovered before covered; gives how many went."""
        return self._database.apply(hits.trim, keep)

    def write_plans(self, made: Sequence[Plan]) -> None:
        """Stores plans, replacing those made at the same moment; the newest moment's are in force."""
        self._database.apply(plans.write, made)

    def plans(self) -> list[Plan]:
        """All plans made at the newest moment, as written."""
        return self._database.fetch(plans.latest)

    def finish_cycle(self, cycle_id: int, summary: CycleSummary) -> None:
        """Closes an estimate cycle.

        Raises:
            StoreUnavailable: as every method, and where there is no such cycle.
        """
        self._database.apply(cycles.finish, cycle_id, summary)

    def last_cycle(self) -> CycleSummary | None:
        """The cycle that finished last."""
        return self._database.fetch(cycles.last, complete_only=False)

    def last_complete_cycle(self) -> CycleSummary | None:
        """The complete cycle that finished last."""
        return self._database.fetch(cycles.last, complete_only=True)

    # ---- forecast

    def weighted_estimates(self, since: datetime) -> list[WeightedEstimate]:
        """Estimates of windows that start at `since` or later, each with the requests it stands for."""
        return self._database.fetch(weighted.read, since)

    def coverage(self, since: datetime) -> list[CoverageCount]:
        """The coverage audit of windows that start at `since` or later: per harm its strata, then all together."""
        return self._database.fetch(coverage.read, since)

    def volume(self, since: datetime) -> list[VolumeWindow]:
        """Exact counts of windows that start at `since` or later, in order of time."""
        return self._database.fetch(volume.read, since)

    def write_forecasts(
        self,
        made: Sequence[Forecast],
        by_day: Mapping[str, Change] = MappingProxyType({}),
        by_version: Sequence[VersionChange] = (),
    ) -> None:
        """Stores forecasts with why they changed, replacing what was made at the same moment.

        Args:
            made: of one moment where changes are given.
            by_day: per harm, against a day before. by_version: one version of the model against another.
        """
        with self._database.write() as connection:
            forecasts.write(connection, made)
            if made:
                changes.write(connection, made[0].made_at, by_day, by_version)

    def latest_forecasts(self) -> list[Forecast]:
        """All forecasts made at the newest moment, as written."""
        return self._database.fetch(forecasts.latest)

    def last_forecast_at(self) -> datetime | None:
        """When the newest forecast was made."""
        return self._database.fetch(forecasts.last_made_at)

    # ---- sensitivity

    def find_prompts(self, keys: Sequence[SampleKey]) -> list[Prompt]:
        """Sampled prompts with their text, in the order of the keys; those that are gone are left out."""
        return self._database.fetch(prompts.find, keys)

    def write_sensitivity(self, summary: SensitivitySummary) -> None:
        """Stores what a run of the sensitivity job found, replacing one that started at the same moment."""
        self._database.apply(sensitivity.write, summary)

    def last_sensitivity(self) -> SensitivitySummary | None:
        """The complete run of the sensitivity job that finished last."""
        return self._database.fetch(sensitivity.last)

    # ---- back-test

    def write_backtests(self, made: Sequence[Backtest], now: datetime) -> None:
        """Stores a back-test in place of the one before."""
        self._database.apply(backtests.write, made, now)

    def backtests(self) -> list[Backtest]:
        """The newest back-test, as written."""
        return self._database.fetch(backtests.read, totals_only=False)

    # ---- upkeep and publish

    def count_job_failure(self, job: str) -> None:
        """Adds one to the failures of a job."""
        self._database.apply(counts.add, {(Count.JOB_FAILED, job): 1})

    def count_worker_loss(self, reason: str) -> None:
        """Adds one to the device workers that were lost for a reason."""
        with self._database.write() as connection:
            counts.add(connection, {(Count.WORKER_LOST, reason): 1})

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
