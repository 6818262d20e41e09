"""The store as the rest of riskmon sees it: records in, records out, one transaction per call.

A `Store` may be shared by threads, and a database by processes: writers take turns, readers see one moment and never
wait. Every method raises `StoreUnavailable` when the database cannot be reached or refuses, and then has changed
nothing, unless the connection was lost during the commit itself; each write is safe to repeat or, for intake,
refuses to be repeated (see `riskmon.store.offsets`). Only `count_job_failure` may then count twice.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType, TracebackType
from typing import Self

from riskmon.records import (
    Backtest,
    Counters,
    CycleSummary,
    Forecast,
    Hit,
    IntakeBatch,
    JudgedWindow,
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
from riskmon.records.report import SampleTally
from riskmon.records.sensitivity import SampleKey, SensitivitySummary
from riskmon.store import (
    backtests,
    changes,
    counts,
    coverage,
    cycles,
    forecasts,
    hits,
    intake,
    judged,
    offsets,
    pending,
    plans,
    prompts,
    results,
    sensitivity,
    snapshot,
    status,
    strata,
    tally,
    volume,
    weighted,
)
from riskmon.store.counts import Count
from riskmon.store.database import Database
from riskmon.store.engine import parse_url
from riskmon.store.migrate import migrate
from riskmon.store.purge import purge

# Threads of one process open one after another; processes are kept apart by the database itself.
_OPENING = threading.Lock()


def open_store(url: str) -> Store:
    """Connects, and brings the schema up to date.

    Args:
        url: `sqlite:///FILE`, or `postgresql+psycopg://USER:PASSWORD@HOST/NAME`. A SQLite file that does not exist
            yet is created with mode 0600, since it holds prompts.

    Raises:
        ConfigError: the URL is not one of these, or the PostgreSQL driver is not installed.
        StoreUnavailable: the database cannot be reached, or its schema is newer than this riskmon.
    """
    with _OPENING:
        database = Database(parse_url(url))
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
    return Store(database)


class Store:
    """The open store; made by `open_store`, closed by `close` or at the end of a `with` block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"Store({self._database.name!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    # ---- intake

    def write_intake(self, batch: IntakeBatch, *, keep: int, now: datetime) -> None:
        """Adds a batch in one transaction: requests, sample, counters and the offsets they cover.

        Args:
            batch: what one flush read. Each sampled prompt lies in a cell that the batch counts.
            keep: prompts kept per cell, those of smallest priority.
            now: stamps new strata and moved offsets.

        Raises:
            StoreUnavailable: as every method, and where messages of the batch may have been counted already. Drop
                the batch and resume from `next_offsets`.
            ValueError: a sampled prompt lies in a cell that the batch does not count.
        """
        with self._database.write() as connection:
            intake.write(connection, batch, keep=keep, now=now)

    def next_offsets(self, topic: str) -> dict[int, int]:
        """Offset to resume from, per partition that was ever read."""
        with self._database.read() as connection:
            return offsets.read(connection, topic)

    def strata(self) -> list[Stratum]:
        """Known strata, in the order of first sight."""
        with self._database.read() as connection:
            return list(strata.known(connection))

    def thresholds(self, keep: int, since: datetime) -> dict[tuple[datetime, Stratum], float]:
        """Per full cell since then, the largest priority still in its sample; a candidate above it cannot enter."""
        with self._database.read() as connection:
            return intake.thresholds(connection, keep, since)

    def write_traffic_status(self, traffic: TrafficStatus) -> None:
        """Replaces the source's health."""
        with self._database.write() as connection:
            status.write(connection, traffic)

    def traffic_status(self) -> TrafficStatus | None:
        """The source's health as last written."""
        with self._database.read() as connection:
            return status.read(connection)

    # ---- estimate

    def pending_prompts(self, since: datetime, limit: int | None = None) -> list[SampledPrompt]:
        """Sampled prompts without a result, so ordered that any prefix is a fair sample of every cell.

        Args:
            since: windows that start then or later count.
            limit: at most so many.
        """
        with self._database.read() as connection:
            return pending.read(connection, since, limit)

    def sampled_prompts(self, since: datetime, limit: int | None = None) -> list[SampledPrompt]:
        """Sampled prompts, with a result or without, in the order of `pending_prompts`."""
        with self._database.read() as connection:
            return pending.sampled(connection, since, limit)

    def begin_cycle(self, now: datetime) -> int:
        """Opens an estimate cycle and gives its number."""
        with self._database.write() as connection:
            return cycles.begin(connection, now)

    def write_result(self, cycle_id: int, result: PromptResult, now: datetime) -> None:
        """Records estimates and hits or failure, observed verdicts and cost of one prompt; once per position.

        Raises:
            StoreUnavailable: as every method, and where there is no such cycle.
            ValueError: the prompt has no position, or a hit is malformed.
        """
        with self._database.write() as connection:
            results.write(connection, cycle_id, result, now)

    def refine_result(self, cycle_id: int, result: PromptResult, now: datetime) -> None:
        """Replaces the estimates of a position by those from more draws, adds hits and the cost that came on top.

        Draws and cost of `result` include those of the first one. Without more draws than before nothing changes.

        Raises:
            StoreUnavailable: as every method, and where there is no such cycle.
            ValueError: as `write_result`, or the cost is less than what is counted already.
        """
        with self._database.write() as connection:
            results.refine(connection, cycle_id, result, now)

    def hits(self, since: datetime, limit_per_stratum: int) -> list[Hit]:
        """Kept hits of windows that start at `since` or later; per stratum and harm at most so many, newest first.

        Where the limit bites, uncovered hits are given before covered ones.
        """
        with self._database.read() as connection:
            return hits.read(connection, since, limit_per_stratum)

    def hit_counts(self, since: datetime) -> dict[str, int]:
        """Kept hits per harm of windows that start at `since` or later; a harm without any is absent."""
        with self._database.read() as connection:
            return hits.count(connection, since)

    def trim_hits(self, keep: int) -> int:
        """Keeps the newest `keep` hits per stratum and harm, uncovered before covered; gives how many went."""
        with self._database.write() as connection:
            return hits.trim(connection, keep)

    def write_plans(self, made: Sequence[Plan]) -> None:
        """Stores plans, replacing those made at the same moment; the newest moment's are in force."""
        with self._database.write() as connection:
            plans.write(connection, made)

    def plans(self) -> list[Plan]:
        """All plans made at the newest moment, as written."""
        with self._database.read() as connection:
            return plans.latest(connection)

    def finish_cycle(self, cycle_id: int, summary: CycleSummary) -> None:
        """Closes an estimate cycle.

        Raises:
            StoreUnavailable: as every method, and where there is no such cycle.
        """
        with self._database.write() as connection:
            cycles.finish(connection, cycle_id, summary)

    def last_cycle(self) -> CycleSummary | None:
        """The cycle that finished last."""
        with self._database.read() as connection:
            return cycles.last(connection, complete_only=False)

    def last_complete_cycle(self) -> CycleSummary | None:
        """The complete cycle that finished last."""
        with self._database.read() as connection:
            return cycles.last(connection, complete_only=True)

    def cycles(self, since: datetime) -> list[CycleSummary]:
        """Cycles that finished at `since` or later, the oldest first."""
        with self._database.read() as connection:
            return cycles.finished(connection, since)

    def unfinished_cycles(self, since: datetime) -> list[datetime]:
        """Starts of cycles that began at `since` or later and have not finished: lost ones, and one under way."""
        with self._database.read() as connection:
            return cycles.unfinished(connection, since)

    def sample_tally(self, since: datetime) -> SampleTally:
        """How many prompts of windows that start at `since` or later are sampled, estimated, failed, waiting."""
        with self._database.read() as connection:
            return tally.read(connection, since)

    # ---- forecast

    def weighted_estimates(self, since: datetime) -> list[WeightedEstimate]:
        """Estimates of windows that start at `since` or later, each with the requests it stands for."""
        with self._database.read() as connection:
            return weighted.read(connection, since)

    def coverage(self, since: datetime) -> list[CoverageCount]:
        """The coverage audit of windows that start at `since` or later: per harm its strata, then all together."""
        with self._database.read() as connection:
            return coverage.read(connection, since)

    def volume(self, since: datetime) -> list[VolumeWindow]:
        """Exact counts of windows that start at `since` or later, in order of time."""
        with self._database.read() as connection:
            return volume.read(connection, since)

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
        with self._database.read() as connection:
            return forecasts.latest(connection)

    def last_forecast_at(self) -> datetime | None:
        """When the newest forecast was made."""
        with self._database.read() as connection:
            return forecasts.last_made_at(connection)

    def forecasts(self, since: datetime, until: datetime) -> list[Forecast]:
        """Forecasts made in [since, until), the oldest first; beyond the retention only totals and a day's first."""
        with self._database.read() as connection:
            return forecasts.between(connection, since, until)

    def hourly_totals(self, since: datetime) -> list[Forecast]:
        """Totals of 24 hours made at `since` or later, the last of every hour, the oldest first."""
        with self._database.read() as connection:
            return forecasts.hourly_totals(connection, since)

    def forecasts_nearest(self, moment: datetime, within: timedelta) -> list[Forecast]:
        """All forecasts of the moment nearest to this one, and no further away than `within`; empty without any."""
        with self._database.read() as connection:
            return forecasts.nearest(connection, moment, within)

    # ---- sensitivity

    def find_prompts(self, keys: Sequence[SampleKey]) -> list[Prompt]:
        """Sampled prompts with their text, in the order of the keys; those that are gone are left out."""
        with self._database.read() as connection:
            return prompts.find(connection, keys)

    def write_sensitivity(self, summary: SensitivitySummary) -> None:
        """Stores what a run of the sensitivity job found, replacing one that started at the same moment."""
        with self._database.write() as connection:
            sensitivity.write(connection, summary)

    def last_sensitivity(self) -> SensitivitySummary | None:
        """The complete run of the sensitivity job that finished last."""
        with self._database.read() as connection:
            return sensitivity.last(connection)

    # ---- back-test

    def daily_forecasts(self, since: datetime, until: datetime) -> list[Forecast]:
        """Per harm the first forecast of 24 hours of every UTC day in [since, until), totals and strata."""
        with self._database.read() as connection:
            return forecasts.daily(connection, since, until)

    def judged_windows(self, since: datetime, harms: Iterable[str] = ()) -> list[JudgedWindow]:
        """Judged production responses of windows that start at `since` or later, with all requests of each.

        One per window, stratum and harm, those without judged responses too: of `harms`, and of any with a verdict.
        """
        with self._database.read() as connection:
            return judged.read(connection, since, harms)

    def write_backtests(self, made: Sequence[Backtest], now: datetime) -> None:
        """Stores a back-test in place of the one before."""
        with self._database.write() as connection:
            backtests.write(connection, made, now)

    def backtests(self) -> list[Backtest]:
        """The newest back-test, as written."""
        with self._database.read() as connection:
            return backtests.read(connection, totals_only=False)

    # ---- upkeep and publish

    def count_job_failure(self, job: str) -> None:
        """Adds one to the failures of a job."""
        with self._database.write() as connection:
            counts.add(connection, {(Count.JOB_FAILED, job): 1})

    def count_worker_loss(self, reason: str) -> None:
        """Adds one to the device workers that were lost for a reason."""
        with self._database.write() as connection:
            counts.add(connection, {(Count.WORKER_LOST, reason): 1})

    def counters(self) -> Counters:
        """Totals since the store was made."""
        with self._database.read() as connection:
            return counts.read(connection)

    def snapshot(self, now: datetime) -> Snapshot:
        """Everything that publish shows, as of one moment."""
        with self._database.read() as connection:
            return snapshot.read(connection, now)

    def purge(self, before: datetime, counts_before: datetime | None = None) -> int:
        """Forgets prompts, estimates, hits, forecasts of strata, plans, cycles and runs older than a moment.

        Counts of requests and of judged responses, forecasts of totals and the first of a day go by `counts_before`
        where it is given, no later than `before`. Counters, offsets, strata, the newest forecast, plans, cycles and
        complete sensitivity run stay. On SQLite the text is overwritten in the file and its log; on PostgreSQL vacuum
        reclaims it.

        Returns:
            How many prompts were forgotten with their text.
        """
        with self._database.write() as connection:
            forgotten = purge(connection, before, counts_before or before)
        self._database.forget_deleted()
        return forgotten
