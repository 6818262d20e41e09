"""What the estimate cycle reads and writes: prompts that wait, results, hits, plans, the cycles themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from riskmon.records import CycleSummary, Hit, Plan, PromptResult, SampledPrompt
from riskmon.records.observed import Observation
from riskmon.store import cycles, hits, observed, pending, plans, results
from riskmon.store.database import Database


class EstimateCalls:
    """Calls of the estimate cycle; part of `Store`."""

    _database: Database

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
